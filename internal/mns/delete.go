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
	// codeGone is MNS's code for a receipt handle that is no longer valid: the message was deleted,
	// perhaps by a try whose response was lost, or is visible again.
	codeGone = "MessageNotExist"
	// codeBadHandle is its code for a text that is no receipt handle.
	codeBadHandle = "ReceiptHandleError"
)

// PartialError means that MNS deleted only a part of a batch: all messages but the listed ones.
type PartialError struct {
	Queue     string
	RequestID string
	Failed    []FailedHandle
}

// FailedHandle is a receipt handle whose message was not deleted, or may not have been.
type FailedHandle struct {
	Handle string
	Code   string // of MNS; "MessageNotExist" means deleted before, or visible again
	// Suspect means that MNS reported a failure without its handle, so that any handle of the batch
	// may have failed.
	Suspect bool
}

// Error counts the failures by code. It contains no handle.
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

// Delete deletes up to 16 received messages by the receipt handles of their last delivery. A handle
// is valid once, and only until the visibility timeout. When MNS deleted only some messages, Delete
// returns a *PartialError.
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
		method: sdk.DELETE, resource: q.messages(), body: sdk.ReceiptHandles{ReceiptHandles: handles}, timeout: responseTimeout,
	})
	if err != nil {
		return err
	}
	if partial := q.partial(r, handles); partial != nil {
		return partial
	}
	return q.check(op, r, http.StatusNoContent, handles...)
}

// partial reads the response to a batch delete that failed in part: status 404 and an <Errors> list.
func (q *Queue) partial(r *response, handles []string) *PartialError {
	if r.status >= 200 && r.status <= 299 {
		return nil
	}
	var list sdk.BatchMessageDeleteErrorResponse
	var single sdk.ErrorResponse
	switch {
	case decodeXML(r.body, &list) == nil && len(list.FailedMessages) > 0:
	case decodeXML(r.body, &single) == nil && (single.Code == codeGone || single.Code == codeBadHandle):
		// The protocol documents a list here, but the error of a single delete means the same.
		list.FailedMessages = []sdk.MessageDeleteFailEntry{{ErrorCode: single.Code}}
	default:
		return nil
	}
	e := &PartialError{Queue: q.name, RequestID: requestID(r)}
	named := map[string]bool{}
	unnamed := "" // the code of a failure without a handle of the batch
	for _, failed := range list.FailedMessages {
		handle, code := strings.TrimSpace(failed.ReceiptHandle), sanitize(failed.ErrorCode)
		if handle == "" && len(handles) == 1 {
			handle = handles[0]
		}
		// MNS sometimes leaves the handle of a ReceiptHandleError empty.
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
