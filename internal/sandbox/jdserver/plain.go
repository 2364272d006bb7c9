package jdserver

import (
	"encoding/json"
	"io"
	"net/http"
)

// maxRequest is the longest call that is read.
const maxRequest = 64 << 10

// statusRequest is the business content of a call.
type statusRequest struct {
	Producer    string `json:"producer"`
	ThirdCode   string `json:"thirdCode"`
	WaybillCode string `json:"waybillCode"`
	Status      int    `json:"status"`
}

// refusal is the reply to wrong content; nil if it is right.
func (r statusRequest) refusal() *Reply {
	if r.Producer == "" || r.ThirdCode == "" || r.WaybillCode == "" || r.Status == 0 {
		return &Reply{Code: "INVALID_PARAM", Message: "producer, thirdCode, waybillCode and status are required"}
	}
	return nil
}

// readPlain reads the call as a POST of JSON to the configured path.
func (s *Server) readPlain(r *http.Request) (statusRequest, func(Reply) []byte, *Reply) {
	var request statusRequest
	if r.URL.Path != s.options.Path {
		return request, renderPlain, &Reply{HTTPStatus: http.StatusNotFound, Code: "404", Message: "no such path"}
	}
	if r.Method != http.MethodPost {
		return request, renderPlain, &Reply{HTTPStatus: http.StatusMethodNotAllowed, Code: "405", Message: "POST only"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		return request, renderPlain, &Reply{HTTPStatus: http.StatusBadRequest, Code: "400", Message: "the body is not the JSON of a status"}
	}
	if s.options.Signer == "header" {
		for name, value := range s.options.Headers {
			if r.Header.Get(name) != value {
				return request, renderPlain, &Reply{HTTPStatus: http.StatusUnauthorized, Code: "401", Message: "header " + name + " is missing or wrong"}
			}
		}
	}
	return request, renderPlain, request.refusal()
}

// result is JD's reply.
type result struct {
	Success bool   `json:"success"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Data    bool   `json:"data"`
}

var (
	accepted      = result{Success: true, Code: "0", Message: "ok", Data: true}
	acceptedPlain = marshal(accepted)
)

func (r Reply) result() result {
	if r.Code == "" {
		return accepted
	}
	return result{Code: r.Code, Message: r.Message}
}

func renderPlain(r Reply) []byte {
	if r.Code == "" {
		return acceptedPlain
	}
	return marshal(r.result())
}

// marshal is for values that are always valid JSON.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
