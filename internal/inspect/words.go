package inspect

import "jdpay-listener/internal/lang"

// words say what states, kinds and outcomes are, beside the names that the table and the commands have. Names that are not here,
// such as those of a newer version, are shown alone.
var words = map[string]string{
	"ready": lang.Mark("due or waits for its time"), "running": lang.Mark("runs"), "waiting": lang.Mark("waits for a reply"),
	"done": lang.Mark("done"), "rejected": lang.Mark("rejected"), "parked": lang.Mark("needs a person"),

	"settle": lang.Mark("payment"), "reply": lang.Mark("cabinet's reply"), "pay-complete": lang.Mark("command to the cabinet"),
	"waybill-status": lang.Mark("waybill status to JD"), "pay-info": lang.Mark("pay info"), "reply-publish": lang.Mark("published reply"),
	"evidence": lang.Mark("count of rejected messages"), "alert": lang.Mark("alert"),
	"purge": lang.Mark("deletion of old jobs"), "nightly-audit": lang.Mark("nightly audit"), "bound-evidence": lang.Mark("bound on rejected messages"), "elasticsearch": lang.Mark("documents for Elasticsearch"),

	"settled": lang.Mark("order paid"), "duplicate": lang.Mark("a copy of a payment"), "paid_twice": lang.Mark("paid twice"),
	"amount_mismatch": lang.Mark("another amount"), "unknown_order": lang.Mark("no order with its number"), "not_success": lang.Mark("not a successful payment"),
	"bad_external_id": lang.Mark("JD's trade number cannot be stored"), "steps_exist": lang.Mark("paid before"), "not_storable": lang.Mark("cannot be stored"),
	"bad_signature": lang.Mark("wrong signature"), "malformed": lang.Mark("cannot be read"), "sent": lang.Mark("the broker has it"),
	"confirmed": lang.Mark("the cabinet opened"), "refused": lang.Mark("refused"), "expired": lang.Mark("too late"), "bad_device": lang.Mark("the cabinet cannot be addressed"),
	"updated": lang.Mark("JD accepted it"), "already": lang.Mark("JD had it before"), "written": lang.Mark("written"), "pending": lang.Mark("not final"),
	"repeated": lang.Mark("repeated"), "late": lang.Mark("after the end"), "unknown": lang.Mark("no such command"), "foreign": lang.Mark("of another cabinet"),
	"published": lang.Mark("published"), "counted": lang.Mark("counted"), "abandoned": lang.Mark("given up"), "discarded": lang.Mark("discarded by a person"),
	"malformed_args": lang.Mark("its row cannot be read"), "crashed": lang.Mark("its process ended each time"),
}

// Word is a state, a kind or an outcome in words.
func Word(name string) lang.Message {
	if text := words[name]; text != "" {
		return lang.Marked(text)
	}
	return lang.Plain(name)
}

// named is a name in English, and in Chinese its words.
func named[T ~string](name T) lang.Message {
	return lang.Both(string(name), Word(string(name)).In(lang.Chinese))
}
