package android

import "net/http"

// Reaction is what the agent does with a command.
type Reaction struct {
	kind          reactionKind
	code, message string
}

type reactionKind int

const (
	execute reactionKind = iota
	notNow
	fail
	unsupported
	dropResult
	loseAnswer
	crash
)

var (
	// Execute carries the command out, as without OnCommand.
	Execute = Reaction{kind: execute}
	// NotNow answers not_now and forgets the command.
	NotNow = Reaction{kind: notNow}
	// Unsupported answers unsupported.
	Unsupported = Reaction{kind: unsupported}
	// DropResult carries the command out and loses the connection before the
	// result is sent. It is sent at the next CheckIn.
	DropResult = Reaction{kind: dropResult}
	// LoseAnswer sends the result and loses the connection before the answer
	// arrives, so that the next CheckIn sends the same result again.
	LoseAnswer = Reaction{kind: loseAnswer}
	// Crash loses connection and command: it is neither carried out nor ever
	// answered unless the server sends it again.
	Crash = Reaction{kind: crash}
)

// Fail answers error with a code and the agent's own words.
func Fail(code, message string) Reaction { return Reaction{kind: fail, code: code, message: message} }

// reactor is a reaction function and how often it was asked.
type reactor struct {
	react func(n int) Reaction
	n     int
}

// OnCommand sets how the agent reacts to commands of a type; n counts from 1 how
// often the type was received since then. nil removes it. The function may use
// the phone's getters, but nothing that talks to the server.
func (p *Phone) OnCommand(kind string, react func(n int) Reaction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if react == nil {
		delete(p.reactions, kind)
		return
	}
	p.reactions[kind] = &reactor{react: react}
}

// reaction decides about one command and puts it on record.
func (p *Phone) reaction(kind string) Reaction {
	p.mu.Lock()
	p.seen = append(p.seen, kind)
	p.notify()
	r := p.reactions[kind]
	n := 0
	if r != nil {
		r.n++
		n = r.n
	}
	p.mu.Unlock()
	if r == nil {
		return Execute
	}
	return r.react(n)
}

// Lose makes the connections of the next n requests of a step ("nonce",
// "enroll", "checkin", "wait") break: the server gets the request, and its
// answer is lost.
func (p *Phone) Lose(step string, n int) { p.change(func() { p.losses[step] = n }) }

func (p *Phone) loses(step string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.losses[step] == 0 {
		return false
	}
	p.losses[step]--
	return true
}

// SetOffline takes the phone off the network, or puts it back.
func (p *Phone) SetOffline(off bool) { p.change(func() { p.offline = off }) }

// keepForRepeat remembers a signed request as an eavesdropper would.
func (p *Phone) keepForRepeat(r *http.Request, body []byte) {
	p.change(func() { p.last = &sent{r.Method, r.URL.String(), r.Header.Clone(), body} })
}
