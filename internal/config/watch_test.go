package config

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched runs Watch in synthetic time. Each step of a test changes files and waits for Watch to read them.
type watched struct {
	t   *testing.T
	dir string

	mu      sync.Mutex // synthetic time orders the goroutines, but not for the race detector
	applied []string   // the restart keys of each apply, joined
	refused []string
	last    *Loaded
}

const watchInterval = 5 * time.Second

func watch(t *testing.T, opts Options, steps func(w *watched)) {
	t.Helper()
	watchWith(t, opts, func(w *watched, _ chan<- os.Signal) { steps(w) })
}

func watchWith(t *testing.T, opts Options, steps func(w *watched, reread chan<- os.Signal)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		current, err := Load(opts)
		if err != nil {
			t.Fatal(err)
		}
		w := &watched{t: t, dir: opts.Dir}
		ctx, cancel := context.WithCancel(t.Context())
		done, reread := make(chan struct{}), make(chan os.Signal)
		go func() {
			defer close(done)
			Watch(ctx, watchInterval, reread, func() (*Loaded, error) { return Load(opts) }, current, func(next *Loaded, restart []string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.last = next
				w.applied = append(w.applied, strings.Join(restart, " "))
			}, func(err error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.refused = append(w.refused, err.Error())
			})
		}()
		steps(w, reread)
		cancel()
		<-done
	})
}

// expect waits for several intervals and compares all calls so far.
func (w *watched) expect(applied, refused []string) {
	w.t.Helper()
	time.Sleep(3 * watchInterval) // synthetic
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(applied, w.applied); diff != "" {
		w.t.Errorf("applied: %s", diff)
	}
	if diff := cmp.Diff(refused, w.refused); diff != "" {
		w.t.Errorf("refused: %s", diff)
	}
}

func TestWatch(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "appsettings.json", minimal)
	watch(t, opts, func(w *watched) {
		w.expect(nil, nil)

		write(t, w.dir, "appsettings.Production.json", `{"Payment": {"PayTypes": {"ALI": 3}}}`)
		w.expect([]string{""}, nil)
		if got := w.last.Config.Payment.PayTypes["ALI"]; got != 3 {
			t.Errorf("the new pay type is %d", got)
		}

		write(t, w.dir, "appsettings.Production.json", `{"Mqtt": {"Port": 1884}, "Logging": {"LogLevel": {"Default": "Debug"}}}`)
		w.expect([]string{"", "Mqtt:Port"}, nil)

		write(t, w.dir, "appsettings.Production.json", `{"Mqtt": {"Port": 1884}, "Mns": {"BatchSize": 99}}`)
		refusal := `Mns:BatchSize = "99" (appsettings.Production.json:1): out of range; give a whole number from 1 to 16`
		w.expect([]string{"", "Mqtt:Port"}, []string{refusal})

		write(t, w.dir, "appsettings.Production.json", `{"Mqtt": {"Port": 1884}, "Payment": {"DefaultPayType": 11}}`)
		w.expect([]string{"", "Mqtt:Port", "Mqtt:Port"}, []string{refusal})

		if err := os.Remove(filepath.Join(w.dir, "appsettings.Production.json")); err != nil {
			t.Fatal(err)
		}
		w.expect([]string{"", "Mqtt:Port", "Mqtt:Port", ""}, []string{refusal})
	})
}

// TestWatchFollowsSwappedLinksAndSecrets changes files as Kubernetes does: a file is a link through a link that it swaps, a
// secret is a file.
func TestWatchFollowsSwappedLinksAndSecrets(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "v1/appsettings.json", minimal)
	write(t, opts.Dir, "v2/appsettings.json", strings.Replace(minimal, `"broker"`, `"broker2"`, 1))
	secret := write(t, opts.Dir, "secret", "one")
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(opts.Dir, name+".new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(opts.Dir, name+".new"), filepath.Join(opts.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "..data")
	link("..data/appsettings.json", "appsettings.json")
	opts.Environ = append(opts.Environ, "Ops__Token_FILE="+secret)
	watch(t, opts, func(w *watched) {
		link("v2", "..data")
		w.expect([]string{"Mqtt:Server"}, nil)
		write(t, opts.Dir, "secret", "two")
		w.expect([]string{"Mqtt:Server", "Mqtt:Server Ops:Token"}, nil)
	})
}

func TestLiveKeys(t *testing.T) {
	var live []string
	for _, o := range new(Config).options() {
		if o.Tag.Get("live") == "true" {
			live = append(live, o.Key)
		}
	}
	want := []string{
		"Logging:LogLevel:Default", "Payment:PayTypes", "Payment:DefaultPayType", "Mqtt:CommandTtl", "Jobs:Concurrency", "Jobs:Retry",
		"Alerts:Language", "Alerts:Console", "Alerts:Heartbeat", "Alerts:DingTalk:Url", "Alerts:DingTalk:Secret", "Alerts:DingTalk:AtMobiles", "Alerts:DingTalk:AtAll", "Alerts:WeCom:Url", "Alerts:WeCom:AtMobiles", "Alerts:WeCom:AtAll",
		"Alerts:Feishu:Url", "Alerts:Feishu:Secret", "Alerts:Feishu:AtUsers", "Alerts:Feishu:AtAll", "Alerts:Webhook:Url", "Alerts:Webhook:Secret",
	}
	if diff := cmp.Diff(want, live); diff != "" {
		t.Error(diff)
	}
}

// TestWatchRereads: a signal has the files read at once, and said what became of them, although nothing changed.
func TestWatchRereads(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "appsettings.json", minimal)
	watchWith(t, opts, func(w *watched, reread chan<- os.Signal) {
		reread <- os.Interrupt
		w.expect([]string{""}, nil)
		write(t, opts.Dir, "appsettings.json", "{")
		time.Sleep(2 * watchInterval) // synthetic
		reread <- os.Interrupt
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.refused) != 2 || len(w.applied) != 1 {
			t.Errorf("refused %q, applied %q", w.refused, w.applied)
		}
	})
}
