package mns

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"
)

const (
	// codeGone is MNS's code for a handle that is no longer valid: the message was deleted already,
	// perhaps by an attempt whose answer was lost, or it has become visible again.
	codeGone = "MessageNotExist"
	// codeBadHandle is its code for something that never was a handle.
	codeBadHandle = "ReceiptHandleError"
)

// PartialError means that MNS deleted a part of a batch. Handles it does not list are deleted.
type PartialError struct {
	Queue     string
	RequestID string
	Failed    []FailedHandle
}

// FailedHandle is a handle that was not deleted, or of which MNS did not say whether it was.
type FailedHandle struct {
	Handle string
	Code   string // "MessageNotExist": deleted before, or visible again; else what MNS refused it for
	// Suspect means that MNS reported a failure without naming its handle, so that it may be this
	// one as well as any other of the batch.
	Suspect bool
}

// Error counts the failures by code and names no handle.
func (e *PartialError) Error() string {
	counts := map[string]int{}
	var codes []string
	for _, f := range e.Failed {
		if counts[f.Code]++; counts[f.Code] == 1 {
			codes = append(codes, f.Code)
		}
	}
	slices.Sort(codes)
	for i, code := range codes {
		codes[i] = fmt.Sprintf("%d %s", counts[code], code)
	}
	return fmt.Sprintf("mns: delete on queue %q: some messages may not be deleted (%s; request id %s)",
		e.Queue, strings.Join(codes, ", "), e.RequestID)
}

// Delete removes up to 16 received messages by their newest handles. A handle works once, and only
// until the message becomes visible again. When MNS deleted only some it returns a *PartialError.
func (q *Queue) Delete(ctx context.Context, handles []string) (err error) {
	if len(handles) == 0 {
		return nil
	}
	if len(handles) > maxBatch {
		return fmt.Errorf("mns: %d handles in one delete are not possible: use at most %d", len(handles), maxBatch)
	}
	const op = "delete"
	defer q.observe(op, time.Now(), &err)
	r, err := q.client.send(ctx, op, q.name, request{
		method: sdk.DELETE, resource: q.messages(), body: sdk.ReceiptHandles{ReceiptHandles: handles}, limit: answerTime,
	})
	if err != nil {
		return err
	}
	if partial := q.partial(r, handles); partial != nil {
		return partial
	}
	return q.check(op, r, http.StatusNoContent, handles...)
}

// partial reads the reply to a batch delete of which some failed: status 404 and an <Errors> list.
func (q *Queue) partial(r *reply, handles []string) *PartialError {
	if r.status >= 200 && r.status <= 299 {
		return nil
	}
	var list sdk.BatchMessageDeleteErrorResponse
	var single sdk.ErrorResponse
	switch {
	case decodeXML(r.body, &list) == nil && len(list.FailedMessages) > 0:
	case decodeXML(r.body, &single) == nil && (single.Code == codeGone || single.Code == codeBadHandle):
		// The documents promise a list; the form a single delete answers with is as clear.
		list.FailedMessages = []sdk.MessageDeleteFailEntry{{ErrorCode: single.Code}}
	default:
		return nil
	}
	e := &PartialError{Queue: q.name, RequestID: requestID(r)}
	named := map[string]bool{}
	unnamed := ""
	for _, failed := range list.FailedMessages {
		handle, code := strings.TrimSpace(failed.ReceiptHandle), tidy(failed.ErrorCode)
		if handle == "" && len(handles) == 1 {
			handle = handles[0]
		}
		// MNS has been seen to leave the handle of a ReceiptHandleError empty.
		if !slices.Contains(handles, handle) {
			unnamed = code
			continue
		}
		if !named[handle] {
			named[handle] = true
			e.Failed = append(e.Failed, FailedHandle{Handle: handle, Code: code})
		}
	}
	if unnamed != "" {
		for _, handle := range handles {
			if !named[handle] {
				e.Failed = append(e.Failed, FailedHandle{Handle: handle, Code: unnamed, Suspect: true})
			}
		}
	}
	return e
}
