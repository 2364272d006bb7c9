package mnsserver

import "time"

// Drop says when a connection is cut.
type Drop uint8

// The ways to lose a reply.
const (
	DropNothing Drop = iota
	DropRequest      // before the call runs
	DropReply        // after it, before the first byte of the reply
	DropMiddle       // after it, in the middle of the reply
)

// Fault makes calls go wrong, as networks, proxies and the service itself do.
type Fault struct {
	Op    Op     // the calls that fail; any when empty
	Queue string // the queue whose calls fail; any when empty
	Times int    // how many calls; 0 means one, negative means until ClearFaults

	// Status, if set, is the reply's, and the call does not run. The body is Body, such as a web page, or else the service's
	// error document with Code.
	Status      int
	Code        string
	Body        string
	ContentType string // text/xml;charset=utf-8 when empty

	Drop      Drop
	Delay     time.Duration // between the call and its reply, so a client may time out on a call that ran
	Duplicate bool          // a received message stays in the queue as a second copy
}

// Throttled is the service's refusal of too many requests: it answers each one after half a second.
func Throttled(times int) Fault {
	return Fault{Times: times, Status: 429, Code: "TooManyRequests", Delay: 500 * time.Millisecond}
}

// EmptyAtOnce is the service's answer to a batch receive when too many long polls are open: there is no message, without a
// wait.
func EmptyAtOnce(times int) Fault {
	return Fault{Op: BatchReceiveMessage, Times: times, Status: 404, Code: errMessageNotExist.code}
}

// Inject adds faults. A call gets the first one that matches, so faults of one kind are used one after the other.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		s.faults = append(s.faults, &f)
	}
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// count counts a call and finds its fault.
func (s *Server) count(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[c.queue]; q != nil {
		q.stats.Calls[c.op]++
	}
	for i, f := range s.faults {
		if f.Op != "" && f.Op != c.op || f.Queue != "" && f.Queue != c.queue {
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		c.fault = *f
		return
	}
}

func (f Fault) reply() (reply, error) {
	if f.Body == "" && f.Code != "" {
		return reply{}, &apiError{f.Status, f.Code, "The call fails on purpose."}
	}
	return reply{status: f.Status, body: []byte(f.Body), contentType: f.ContentType}, nil
}
