package iphone

import "testing"

// BenchmarkOTAEnrollment is what a phone and the fake server cost together;
// a product's enrollment rate is measured against that.
func BenchmarkOTAEnrollment(b *testing.B) {
	s := newServer(b)
	for b.Loop() {
		p := s.phone(nil)
		if err := p.OpenLink(b.Context(), s.url+"/profile", Choice{}); err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}

func BenchmarkIdleConnect(b *testing.B) {
	s := newServer(b)
	p := s.enrolled(nil)
	for b.Loop() {
		if err := p.Connect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
