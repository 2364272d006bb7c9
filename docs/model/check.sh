#!/bin/sh
# Searches the whole of each model in this folder, and requires that it has no error; then removes one rule after the
# other, and requires that each of these variants has one. Needs spin and a C compiler. Leaves nothing behind.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'wait; rm -rf "$work"' EXIT
cd "$work"

# search prints a line about one search, bounded to 1 GiB and 120 s; found is then its number of errors.
search() { # model, what it is called, optimisation of the search program, options of spin
	model=$1 name=$2 optimise=$3
	shift 3
	cp "$here/$model.pml" .
	if ! { spin "$@" -a "$model.pml" && cc -w "$optimise" -DNOFAIR -DMEMLIM=1024 -o pan pan.c; } >out 2>&1; then
		cat out
		exit 1
	fi
	(ulimit -t 120; exec ./pan -a -n -m100000) >out 2>&1 || true
	found=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' out)
	if [ -z "$found" ] || { [ "$found" = 0 ] && grep -q 'Search not completed\|search depth too small' out; }; then
		cat out
		echo "$model $name: the search is not complete"
		exit 1
	fi
	printf '%-6s %-27s %8s states %5s s  errors: %s  %s\n' "$model" "$name" \
		"$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)" \
		"$(sed -n 's/.*elapsed time \([0-9.]*\) seconds.*/\1/p' out)" \
		"$found" "$(sed -n 's/^pan:1: \([a-z]* [a-z]*\) .*/\1/p' out)"
}

check() { # model
	mkdir "$1"
	cd "$1"
	bad=0
	search "$1" "all rules" -O1
	[ "$found" = 0 ] || bad=1
	for variant in $(grep -o 'NO_R_[A-Z_]*[A-Z]' "$here/$1.pml" | sort -u); do
		search "$1" "$variant" -O0 -D"$variant" -DFAULTS=1
		# Some rules matter only when two things go wrong.
		[ "$found" != 0 ] || search "$1" "$variant, 2 faults" -O0 -D"$variant" -DFAULTS=2
		[ "$found" != 0 ] || { bad=1; echo "$1: nothing fails without this rule"; }
	done
	exit $bad
}

(check lease) &
lease=$!
(check settle) &
settle=$!
wait $lease && wait $settle
