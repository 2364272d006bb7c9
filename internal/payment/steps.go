package payment

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/sqldb"
)

// The outcomes of steps that are done.
const (
	Sent      job.Outcome = "sent"      // pay-complete: the broker has it
	Confirmed job.Outcome = "confirmed" // pay-complete: the cabinet replied that it opened
	Updated   job.Outcome = "updated"   // waybill-status: JD accepted it
	Already   job.Outcome = "already"   // waybill-status: JD had the status already
	Written   job.Outcome = "written"   // pay-info
)

// The outcomes of steps that are parked, beside job's "abandoned".
const (
	Expired   job.Outcome = "expired"    // pay-complete: Mqtt:CommandTtl is over
	Refused   job.Outcome = "refused"    // the cabinet or JD refused
	BadDevice job.Outcome = "bad_device" // pay-complete: the cabinet's serial makes no valid topic, or the broker refuses the command
)

// classRefused is the class of JD's refusals in a job's history; see maxRefusals.
const classRefused = "refused"

// step has the arguments of a step.
type step struct {
	OrderID int64  `json:"order_id"`
	PayType int    `json:"pay_type,omitempty"`
	PayTime string `json:"pay_time,omitempty"` // wall clock in Payment:TimeZone

	parcel *pendingLookup // started before the commit; set only in the instance that settled the payment, for the first try
}

// newSteps returns the steps of a payment that is being settled. Their keys contain the order's id, so an order has each
// step once.
func (s *Settler) newSteps(orderID int64, st *settlement) []job.New {
	var parcel *pendingLookup
	if s.Parcels != nil {
		parcel = s.Parcels.startEarly(orderID)
	}
	steps := make([]job.New, len(Steps))
	for i, kind := range Steps {
		args := step{OrderID: orderID, parcel: parcel}
		if kind == KindPayInfo {
			args.PayType = st.payType
			args.PayTime = st.n.PayTime.Format(time.DateTime)
		}
		steps[i] = job.New{Kind: kind, Args: args, Key: StepKey(kind, orderID), Ref: st.n.OrderNo, Enqueued: st.job.Enqueued, Trace: st.job.Trace}
		if kind == KindPayComplete {
			steps[i].Since = customerSince(st)
		}
	}
	return steps
}

// customerSince is since when the customer has been waiting for the door: since MNS took the notification in, by its clock,
// however long the message or its job lay somewhere. JD's clock and zone are trusted only where that is not known.
func customerSince(st *settlement) time.Time {
	if st.job.Enqueued.IsZero() {
		return st.n.PayTime
	}
	return st.job.Enqueued
}

// StepKey returns the unique key of an order's step of the kind.
func StepKey(kind string, orderID int64) string { return fmt.Sprintf("%s:%d", kind, orderID) }

// OrderID returns the order's id of a step's unique key, 0 if it is none.
func OrderID(key string) int64 {
	_, number, _ := strings.Cut(key, ":")
	id, _ := strconv.ParseInt(number, 10, 64)
	return id
}

// commander sends commands to cabinets; see device.Session.
type commander interface {
	Publish(ctx context.Context, c device.Command) error
}

// waybills updates waybills at JD; see jdapi.Client.
type waybills interface {
	UpdateWaybillStatus(ctx context.Context, s jdapi.Status) (jdapi.Result, error)
}

// StepHandlers are the handlers of the steps.
type StepHandlers struct {
	Parcels  *Parcels
	Cabinets commander
	JD       waybills
	Report   Report

	CommandTTL   time.Duration // the Timeout of pay-complete jobs
	RequireReply bool          // wait for the cabinet's reply
	ReplyTimeout time.Duration // after which the command is sent again

	ProducerCode      string // for JD sending cabinets
	CloudProducerCode string // for all others
	PayTimeIsNow      bool   // the pay info's time is the time of writing instead of JD's
	Zone              *time.Location
}

// sendingCabinet is the device type of JD's own sending cabinets.
const sendingCabinet = 6

// paidStatus is JD's waybill status "customer has paid".
const paidStatus = 1

const (
	// downPause is how long a kind of steps pauses while a dependency of all its jobs is down.
	downPause = 2 * time.Second
	// aloneWait is how long a command snoozes that must be published alone while too many others wait for the same.
	aloneWait = 250 * time.Millisecond
	// maxRefusals is how often JD may refuse for an unknown reason before the job is parked. Tries during an
	// outage of JD do not count.
	maxRefusals = 3
	// lookupTTL is how long a parcel that was looked up during settling may be used: parcels are moved.
	lookupTTL = time.Second
)

// PayComplete is the handler of KindPayComplete: it sends the cabinet the command to open.
func (h *StepHandlers) PayComplete(ctx context.Context, j *job.Job, s step) (job.Outcome, error) {
	parcel, err := h.find(ctx, j, s)
	if err != nil {
		return "", err
	}
	expiry := j.Expiry()
	if !j.Now().Before(expiry) {
		return "", job.Permanent(Expired, fmt.Errorf("its time was over at %s, while the parcel was looked up", expiry.UTC().Format(time.RFC3339)))
	}
	err = h.Cabinets.Publish(ctx, device.Command{
		PostOrderId: s.OrderID, DeviceGroupSN: parcel.DeviceSN, DeviceType: parcel.DeviceType, CellSN: parcel.CellSN,
		MessageId: device.MessageID(s.OrderID), IssuedAt: h.issued(j).UnixMilli(), ExpireAt: expiry.UnixMilli(),
	})
	var badTopic *device.InvalidTopicError
	var refused *device.RefusedError
	switch {
	case errors.Is(err, device.ErrNotConnected):
		return "", job.Pause(downPause, err)
	case errors.Is(err, device.ErrLater):
		return "", job.Snooze(aloneWait, err)
	case errors.As(err, &badTopic), errors.As(err, &refused):
		return "", job.Permanent(BadDevice, err)
	case errors.Is(err, device.ErrUnacknowledged) && ctx.Err() != nil:
		return "", job.RetryAfter(0, err) // it counts, although it was interrupted: the cabinet may have the command, and reply
	case err != nil:
		return "", fmt.Errorf("sending the command to cabinet %s: %w", parcel.DeviceSN, err)
	}
	crash.At("command sent")
	if h.Report.Told != nil && !j.Waited {
		h.Report.Told(j)
	}
	if parcel.OtherCellSN != "" && !j.Waited {
		h.Report.Log.Warn("an order has several cells: the command named the oldest; correct "+kernel.CellTable.Name, "order_no", j.Ref, "cell_sn", parcel.CellSN, "other_cell_sn", parcel.OtherCellSN)
	}
	h.Report.stage(KindPayComplete, time.Since(j.Began()))
	if h.RequireReply {
		return "", job.Wait(h.ReplyTimeout)
	}
	return Sent, nil
}

// issued is from when a command's time counts: when the step was made, or MNS took the notification in, or an operator
// retried it. It is never in the future, whatever Mqtt:CommandTtl was when the step was made.
func (h *StepHandlers) issued(j *job.Job) time.Time {
	issued := j.Expiry().Add(-h.CommandTTL)
	if now := j.Now(); issued.After(now) {
		return now
	}
	return issued
}

// WaybillStatus is the handler of KindWaybillStatus: it sets the waybill's status at JD to paid.
func (h *StepHandlers) WaybillStatus(ctx context.Context, j *job.Job, s step) (job.Outcome, error) {
	parcel, err := h.find(ctx, j, s)
	if err != nil {
		return "", err
	}
	producer := h.CloudProducerCode
	if parcel.DeviceType == sendingCabinet {
		producer = h.ProducerCode
	}
	if parcel.Waybill == "" {
		return "", fmt.Errorf("%s.express_number is NULL or empty in the row with post_order_id = '%d': correct the row", kernel.PostOrderTable.Name, s.OrderID)
	}
	result, err := h.JD.UpdateWaybillStatus(ctx, jdapi.Status{
		Producer: producer, ThirdCode: parcel.DeviceSN, WaybillCode: parcel.Waybill, Status: paidStatus,
	})
	var notCalled *jdapi.NotCalledError
	var refused *jdapi.Error
	switch {
	case errors.As(err, &notCalled):
		return "", job.Pause(notCalled.RetryAfter, err)
	case errors.As(err, &refused) && refused.Class == jdapi.Refused && j.Failures(classRefused)+1 < maxRefusals:
		return "", job.Retry(classRefused, err)
	case errors.As(err, &refused) && (refused.Class == jdapi.Refused || refused.Class == jdapi.Permanent):
		return "", job.Permanent(Refused, err)
	case err != nil:
		return "", err
	}
	crash.At("JD told")
	h.Report.stage(KindWaybillStatus, time.Since(j.Began()))
	if result.Already {
		return Already, nil
	}
	return Updated, nil
}

// PayInfo is the handler of KindPayInfo: it writes the row that the ERP reads.
func (h *StepHandlers) PayInfo(ctx context.Context, j *job.Job, s step) (job.Outcome, error) {
	payTime := s.PayTime
	if h.PayTimeIsNow {
		payTime = j.Now().In(h.Zone).Format(time.DateTime)
	}
	if err := h.Parcels.writeInfo(ctx, s.OrderID, s.PayType, payTime); err != nil {
		return "", pauseIfDown(err)
	}
	crash.At("pay info written")
	h.Report.stage(KindPayInfo, time.Since(j.Began()))
	return Written, nil
}

// find returns the parcel, from the lookup that settling started if it is recent enough.
func (h *StepHandlers) find(ctx context.Context, j *job.Job, s step) (Parcel, error) {
	lookup := s.parcel
	if lookup == nil || time.Since(lookup.started) > lookupTTL {
		lookup = h.Parcels.startLookup(s.OrderID)
	}
	parcel, err := lookup.wait(ctx)
	if err == nil {
		j.Notes = append(j.Notes, "device_sn", parcel.DeviceSN, "waybill", parcel.Waybill)
	}
	return parcel, pauseIfDown(err)
}

// pauseIfDown pauses a kind of steps while the main database is down, so that its jobs do not use up their tries.
func pauseIfDown(err error) error {
	if sqldb.IsDown(err) {
		return job.Pause(downPause, err)
	}
	return err
}
