package report

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// unrejected are the states of a payment's steps.
var unrejected = slices.DeleteFunc(slices.Clone(job.States), func(s job.State) bool { return s == job.Rejected })

// checkBatch writes the lines of those payments that are complete by the table, and of which this instance ended the last step.
// It forgets the others.
func (p *payments) checkBatch(ctx context.Context, numbers []string, due map[string]*openPayment) error {
	var keys []string
	for _, no := range numbers {
		if id := due[no].orderID(); id != 0 && len(due[no].parts) < 1+len(payment.Steps) {
			for _, kind := range payment.Steps {
				keys = append(keys, payment.StepKey(kind, id))
			}
		}
	}
	steps := map[string][]job.Row{}
	if len(keys) > 0 {
		rows, err := p.jobs.List(ctx, job.Filter{Keys: keys, States: unrejected}, len(keys), false)
		if err != nil {
			return err
		}
		for _, r := range rows {
			steps[r.Ref] = append(steps[r.Ref], r)
		}
	}
	var ours, unsettled []string
	for _, no := range numbers {
		if o := due[no]; o.addSteps(steps[no]) {
			ours = append(ours, no)
			if o.parts[payment.KindSettle] == nil {
				unsettled = append(unsettled, no)
			}
		}
	}
	if err := p.addSettled(ctx, unsettled, due); err != nil {
		return err
	}
	for _, no := range ours {
		p.addParcel(ctx, due[no])
		p.write(no, due[no])
	}
	return nil
}

// addSteps adds the steps that other instances ended, and reports whether the payment's line is to be written here: all steps
// have ended, and the last one here. Of two that ended together each instance would take itself for the last otherwise. A step
// whose row was deleted ended long ago.
func (o *openPayment) addSteps(rows []job.Row) bool {
	if len(o.parts) == 1+len(payment.Steps) {
		return true
	}
	var last *job.Row
	var lastHere time.Time
	for i := range rows {
		r := &rows[i]
		if r.Finished == nil {
			return false
		}
		if last == nil || r.Finished.After(*last.Finished) || r.Finished.Equal(*last.Finished) && r.ID > last.ID {
			last = r
		}
		if o.parts[r.Kind] != nil && r.Finished.After(lastHere) {
			lastHere = *r.Finished
		}
	}
	if last == nil || o.parts[last.Kind] == nil && last.Finished.Sub(lastHere) < endsTogether {
		return false
	}
	for i := range rows {
		if r := &rows[i]; o.parts[r.Kind] == nil {
			o.parts[r.Kind] = partOfRow(r)
		}
	}
	return true
}

// addSettled adds the settle jobs of payments that another instance settled.
func (p *payments) addSettled(ctx context.Context, numbers []string, due map[string]*openPayment) error {
	if len(numbers) == 0 {
		return nil
	}
	rows, err := p.jobs.List(ctx, job.Filter{Refs: numbers, States: []job.State{job.Done}, Outcome: payment.Settled}, 2*len(numbers), true)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		o := due[r.Ref]
		if o == nil || r.Finished == nil {
			continue
		}
		o.parts[payment.KindSettle] = partOfRow(r)
		for _, note := range p.describe(r.Args) {
			o.notes[note.Key] = note
		}
	}
	return nil
}

// describe says what a kept message, which was verified when it was settled, says about its payment.
func (p *payments) describe(body string) []slog.Attr {
	env, payload, err := message.ReadUnverified(body, p.rules.BodyEncoding)
	if err != nil {
		return nil
	}
	n, err := p.rules.Notification(env, payload)
	if err != nil {
		return nil
	}
	return []slog.Attr{slog.String("amount", n.Amount.String()), slog.String("external_id", n.ExternalID)}
}

// addParcel adds the cabinet and the waybill if no step that ended here has found them.
func (p *payments) addParcel(ctx context.Context, o *openPayment) {
	_, device := o.notes["device_sn"]
	_, waybill := o.notes["waybill"]
	id := o.orderID()
	if device && waybill || id == 0 {
		return
	}
	parcel, err := p.parcels.Find(ctx, id)
	if err != nil {
		return // the line says what is known
	}
	if !device {
		o.notes["device_sn"] = slog.String("device_sn", parcel.DeviceSN)
	}
	o.notes["waybill"] = slog.String("waybill", parcel.Waybill)
}
