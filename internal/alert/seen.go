package alert

import (
	"context"
	"fmt"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
)

// FailingKind is the trouble that tries of a kind of jobs have failed since a time, which its text says in zone, and none
// succeeds. why is the last error's text.
func FailingKind(kind string, since time.Time, why string, zone *time.Location) job.Trouble {
	from := clock(since, zone)
	return job.Trouble{Key: "failing:" + kind, Cause: causeFailing + kind, Timeout: stateTimeout, Text: texts(
		fmt.Sprintf("Tries of %s have failed since %s and none succeeds: %s. Its work waits and goes on by itself once that is mended.", kind, from, inspect.Cause(why, lang.English)),
		fmt.Sprintf("自 %s 起 %s 任务持续失败：%s。任务会保留，修复后自动继续。", from, kind, inspect.Cause(why, lang.Chinese)))}
}

// MissingTables is the trouble that a database, named account or main, lacks tables or columns. consequence says in English
// what waits meanwhile.
func MissingTables(database, consequence string, missing *inspect.MissingError) job.Trouble {
	return job.Trouble{Key: "missing:" + database, Cause: causeMissing + database, Timeout: stateTimeout, Text: texts(
		fmt.Sprintf("The %s database lacks %s; %s. Remedy: %s", database, missing.Names(), consequence, missing.Remedy()),
		fmt.Sprintf("%s缺少 %s，相关任务会保留等待。处理方法：%s", chineseDatabases[database], missing.Names(), missing.Advice().In(lang.Chinese)))}
}

// clock is a time as people read it.
func clock(t time.Time, zone *time.Location) string { return t.In(zone).Format(time.TimeOnly) }

// NoteLate makes troubles of late steps.
func (t *Teller) NoteLate(ctx context.Context, late []job.Late) error {
	if !t.on() {
		return nil
	}
	list := make([]job.Trouble, len(late))
	for i, l := range late {
		list[i] = job.Trouble{Key: fmt.Sprint(job.LateTrouble, l.ID), Cause: causeLate, Order: l.Ref, JobID: l.ID}
	}
	return t.opts.Store.NoteTroubles(ctx, list)
}

// TellOutage tells people of an outage of the account database, in which troubles cannot be stored: each replica by itself. why
// is the error's text, which a notice that the outage is Over does not need.
func (t *Teller) TellOutage(ctx context.Context, status Status, since time.Time, why string) {
	if !t.on() {
		return
	}
	s := t.settings.Load()
	text := pick([2]string{
		"Payments wait in the queue since " + clock(since, s.Zone) + ": " + inspect.Cause(why, lang.English) + ". Nothing is lost; it goes on by itself when the database is back.",
		"自 " + clock(since, s.Zone) + " 起支付消息在队列中等待：" + inspect.Cause(why, lang.Chinese) + "。消息不会丢失，数据库恢复后自动继续。",
	}, s.Language)
	if status == Over {
		text = pick([2]string{"The database is back after " + time.Since(since).Round(time.Second).String() + "; nothing to do.", "数据库已恢复，历时 " + time.Since(since).Round(time.Second).String() + "，无需处理。"}, s.Language)
	}
	t.sendNow(ctx, &Notice{
		ID: fmt.Sprintf("%s:%s:%s:%d", job.KindAlert, status, t.opts.Instance, since.Unix()), Status: status, Cause: causeDatabase, Language: string(s.Language),
		Title: causeTitle(causeDatabase, job.Change(status), 1, s.Language), Text: []string{text}, Commands: []string{"jdpay-listener doctor"}, Console: s.Console,
		Since: since, At: time.Now(), Instance: t.opts.Instance,
	})
}
