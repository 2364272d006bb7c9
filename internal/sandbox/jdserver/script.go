package jdserver

// Reply is a prescribed reply. The zero Reply accepts the call.
type Reply struct {
	// Code and Message refuse the call with success:false, unless Body is set.
	Code, Message string
	// HTTPStatus is 200 when 0.
	HTTPStatus int
	// Body is sent unchanged, such as a proxy's page, with ContentType, application/json when empty.
	Body, ContentType string
	// Hang sends no reply; the connection stays open until the client closes it.
	Hang bool
	// Close closes the connection without a reply.
	Close bool
}

type scripted struct {
	times int
	reply Reply
}

// ScriptWaybill prescribes the replies to the next calls for one waybill, which are then not counted by ScriptNext.
func (s *Server) ScriptWaybill(waybill string, replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byWaybill[waybill] = append(s.byWaybill[waybill], replies...)
}

// ScriptNext prescribes the reply to the next calls for any waybill, after those of earlier scripts; negative times
// last until ClearScripts.
func (s *Server) ScriptNext(times int, reply Reply) {
	if times == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, scripted{times, reply})
}

// ClearScripts makes JD accept everything again.
func (s *Server) ClearScripts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = nil
	clear(s.byWaybill)
}

// script removes and returns the reply that is prescribed for a call.
func (s *Server) script(waybill string) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if replies := s.byWaybill[waybill]; len(replies) > 0 {
		s.byWaybill[waybill] = replies[1:]
		return replies[0]
	}
	if len(s.next) == 0 {
		return Reply{}
	}
	first := &s.next[0]
	reply := first.reply
	if first.times--; first.times == 0 {
		s.next = s.next[1:]
	}
	return reply
}
