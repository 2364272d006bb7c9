package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/sqldb"
)

// The outcomes of steps that are done.
const (
	Sent      job.Outcome = "sent"      // pay-complete: the broker has it
	Confirmed job.Outcome = "confirmed" // pay-complete: the cabinet says so
	Updated   job.Outcome = "updated"   // waybill-status: JD took it
	Already   job.Outcome = "already"   // waybill-status: JD had it already
	Written   job.Outcome = "written"   // pay-info
)

// The outcomes of steps that are parked, beside job's "abandoned".
const (
	Expired   job.Outcome = "expired"    // pay-complete: the customer has left by now
	Refused   job.Outcome = "refused"    // the cabinet or JD said no
	BadDevice job.Outcome = "bad_device" // pay-complete: no topic can be made of the cabinet's serial, or the broker refuses it
)

// classRefused is the class of JD's refusals in a job's history: so many of them make an end.
const classRefused = "refused"

// step holds the arguments of the three follow-ups of a settled payment.
type step struct {
	OrderID int64  `json:"order_id"`
	PayType int    `json:"pay_type,omitempty"`
	PayTime string `json:"pay_time,omitempty"` // wall clock in Payment:TimeZone

	// Known only to the instance that settled the payment, on the first try.
	received time.Time // when it received the notification
	parcel   *found    // being looked up since before the commit
}

// steps are the steps of a payment that is being settled. Their keys are of the order: it has them once.
func (s *Settler) steps(orderID int64, st *settlement) []job.New {
	var parcel *found
	if s.Parcels != nil {
		parcel = s.Parcels.begin(orderID)
	}
	steps := make([]job.New, len(Steps))
	for i, kind := range Steps {
		args := step{OrderID: orderID, received: st.job.Began(), parcel: parcel}
		if kind == KindPayInfo {
			args.PayType = st.payType
			args.PayTime = st.n.PayTime.Format(time.DateTime)
		}
		steps[i] = job.New{Kind: kind, Args: args, Key: StepKey(kind, orderID), Ref: st.n.OrderNo}
	}
	return steps
}

// StepKey is the unique key of the step of the kind of an order.
func StepKey(kind string, orderID int64) string { return fmt.Sprintf("%s:%d", kind, orderID) }

// commander sends commands to cabinets; see device.Session.
type commander interface {
	Publish(ctx context.Context, c device.Command) error
}

// waybills tells JD; see jdapi.Client.
type waybills interface {
	UpdateWaybillStatus(ctx context.Context, s jdapi.Status) (jdapi.Result, error)
}

// Follow carries out the steps of settled payments.
type Follow struct {
	Parcels  *Parcels
	Cabinets commander
	JD       waybills
	Report   Report

	CommandTTL   time.Duration // a command is not sent later than this after settling
	RequireReply bool          // wait for the cabinet's reply
	ReplyTimeout time.Duration // send again without one

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
	// downPause is how long a kind of steps rests while what all of them need is down.
	downPause = 2 * time.Second
	// laterPause is the wait of a command that must be sent alone while too many others wait for that.
	laterPause = 250 * time.Millisecond
	// maxRefusals is how often JD may say no without saying why before a person is asked. Tries that it could not answer
	// do not count.
	maxRefusals = 3
	// maxParcelAge is how old a parcel may be that was looked up while its payment was being settled. Parcels move.
	maxParcelAge = time.Second
)

// PayComplete is the handler of KindPayComplete: it tells the cabinet to open.
func (f *Follow) PayComplete(ctx context.Context, j *job.Job, s step) (job.Outcome, error) {
	parcel, err := f.find(ctx, j, s)
	if err != nil {
		return "", err
	}
	expiry := j.Expiry()
	err = f.Cabinets.Publish(ctx, device.Command{
		PostOrderId: s.OrderID, DeviceGroupSN: parcel.DeviceSN, DeviceType: parcel.DeviceType, CellSN: parcel.CellSN,
		MessageId: device.MessageID(s.OrderID), IssuedAt: expiry.Add(-f.CommandTTL).UnixMilli(), ExpireAt: expiry.UnixMilli(),
	})
	var badTopic *device.InvalidTopicError
	var refused *device.RefusedError
	switch {
	case errors.Is(err, device.ErrNotConnected):
		return "", job.Pause(downPause, err)
	case errors.Is(err, device.ErrLater):
		return "", job.Snooze(laterPause, err)
	case errors.As(err, &badTopic), errors.As(err, &refused):
		return "", job.Permanent(BadDevice, err)
	case err != nil:
		return "", fmt.Errorf("sending the command to cabinet %s: %w", parcel.DeviceSN, err)
	}
	crash.At("command sent")
	if j.Tries == 1 && !s.received.IsZero() {
		f.Report.stage("notify_to_command", time.Since(s.received))
	}
	f.Report.stage(KindPayComplete, time.Since(j.Began()))
	if f.RequireReply {
		return "", job.Wait(f.ReplyTimeout)
	}
	return Sent, nil
}

// WaybillStatus is the handler of KindWaybillStatus: it tells JD that the waybill is paid.
func (f *Follow) WaybillStatus(ctx context.Context, j *job.Job, s step) (job.Outcome, error) {
	parcel, err := f.find(ctx, j, s)
	if err != nil {
		return "", err
	}
	producer := f.CloudProducerCode
	if parcel.DeviceType == sendingCabinet {
		producer = f.ProducerCode
	}
	if parcel.Waybill == "" {
		return "", fmt.Errorf("%s.express_number is NULL or empty in the row with post_order_id = '%d': correct the row", postTable, s.OrderID)
	}
	result, err := f.JD.UpdateWaybillStatus(ctx, jdapi.Status{
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
	f.Report.stage(KindWaybillStatus, time.Since(j.Began()))
	if result.Already {
		return Already, nil
	}
	return Updated, nil
}

// PayInfo is the handler of KindPayInfo: it writes what the ERP reads.
func (f *Follow) PayInfo(ctx context.Context, j *job.Job, s step) (job.Outcome, error) {
	payTime := s.PayTime
	if f.PayTimeIsNow {
		payTime = j.Now().In(f.Zone).Format(time.DateTime)
	}
	if err := f.Parcels.writeInfo(ctx, payInfo{s.OrderID, s.PayType, payTime}); err != nil {
		return "", pauseIfDown(err)
	}
	crash.At("pay info written")
	f.Report.stage(KindPayInfo, time.Since(j.Began()))
	return Written, nil
}

// find returns the parcel: the one that was looked up while the payment was being settled, if that was just now.
func (f *Follow) find(ctx context.Context, j *job.Job, s step) (Parcel, error) {
	lookup := s.parcel
	if lookup == nil || time.Since(lookup.asked) > maxParcelAge {
		lookup = f.Parcels.begin(s.OrderID)
	}
	parcel, err := lookup.wait(ctx)
	if err == nil {
		j.Notes = append(j.Notes, "device_sn", parcel.DeviceSN, "waybill", parcel.Waybill)
	}
	return parcel, pauseIfDown(err)
}

// pauseIfDown lets a whole kind of steps rest while the main database is down, instead of using up each one's tries.
func pauseIfDown(err error) error {
	if sqldb.IsDown(err) {
		return job.Pause(downPause, err)
	}
	return err
}
