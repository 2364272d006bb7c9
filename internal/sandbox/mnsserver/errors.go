package mnsserver

import (
	"fmt"
	"net/http"
)

// apiError is an error reply. Clients decide by its code; the texts are the service's own where they are known, since
// people search for them.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

var (
	errMissingAuthorization = &apiError{400, "MissingAuthorizationHeader", "Authorization header is missing."}
	errInvalidAuthorization = &apiError{400, "InvalidAuthorizationHeader", "The authorization header is not \"MNS AccessKeyId:Signature\"."}
	errMissingDate          = &apiError{400, "MissingDateHeader", "Date header is missing."}
	errInvalidDate          = &apiError{400, "InvalidDateHeader", "The Date header is not an RFC 1123 date in GMT."}
	errMissingVersion       = &apiError{400, "MissingVersionHeader", "x-mns-version header is missing."}
	errInvalidVersion       = &apiError{400, "InvalidVersionHeader", "The x-mns-version header is not " + apiVersion + "."}
	errInvalidKey           = &apiError{403, "InvalidAccessKeyId", "The access key id you provided is not exist."}
	errBadSignature         = &apiError{403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."}
	errTimeExpired          = &apiError{408, "TimeExpired", "The http request you sent is expired."}
	errInvalidDigest        = &apiError{400, "InvalidDegist", "The Content-MD5 you specified did not match what we received."} // spelled so by the service

	errInvalidRequestURL  = &apiError{400, "InvalidRequestURL", "The http request url is invalid."}
	errInvalidQueryString = &apiError{400, "InvalidQueryString", "The request contains an unknown or invalid query item."}
	errMalformedXML       = &apiError{400, "MalformedXML", "The XML you provided is not well-formed."}

	errInvalidQueueName  = &apiError{400, "InvalidQueueName", "The queue name you provided is invalid."}
	errQueueNameLength   = &apiError{400, "QueueNameLengthError", "The length of queue name should between 1 and 120."}
	errQueueNotExist     = &apiError{404, "QueueNotExist", "The queue name you provided is not exist."}
	errQueueAlreadyExist = &apiError{409, "QueueAlreadyExist", "The queue you want to create is already exist."}

	errMessageNotExist          = &apiError{404, "MessageNotExist", "Message not exist."}
	errMissingReceiptHandle     = &apiError{400, "MissingReceiptHandle", "The receipt handle is missing."}
	errMissingVisibilityTimeout = &apiError{400, "MissingVisibilityTimeout", "The visibility timeout is missing."}
	errReceiptHandle            = &apiError{400, "ReceiptHandleError", "The receipt handle you provide is not valid."}
)

func invalidArgument(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "InvalidArgument", fmt.Sprintf(format, args...)}
}

// outOfRange words a refusal as the service does: "The value of Priority should between 1 and 16".
func outOfRange(name string, low, high int) *apiError {
	return invalidArgument("The value of %s should between %d and %d", name, low, high)
}

func (e *apiError) reply(c *call, requestID string) reply {
	b := appendRoot((*c.out)[:0], "Error")
	b = appendElement(b, "Code", e.code)
	b = appendElement(b, "Message", e.message)
	b = appendElement(b, "RequestId", requestID)
	b = appendElement(b, "HostId", "http://"+c.r.Host)
	*c.out = append(b, "</Error>"...)
	return reply{status: e.status, body: *c.out}
}
