package api

import "context"

// welcome is where an administrator arrives: what needs attention, and where to
// go. Without a one-time password it says only how to get further.
func (s *Server) welcome(ctx context.Context, r *req) (any, error) {
	data := struct {
		Frame frame
		Full  bool
		Now   deskNow
	}{Frame: r.frame(), Full: s.admit(adminsOTP, r.who) == nil}
	if data.Full {
		var err error
		if data.Now, err = s.deskNow(ctx); err != nil {
			return nil, err
		}
	}
	return page("adminwelcome", data)
}
