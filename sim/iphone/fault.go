package iphone

// Reaction is what the phone does with a command.
type Reaction struct {
	kind  reactionKind
	chain ChainError
}

type reactionKind int

const (
	execute reactionKind = iota
	notNow
	fail
	formatError
	dropResult
	dropAnswer
	crash
)

var (
	// Execute carries the command out, as without OnCommand.
	Execute = Reaction{kind: execute}
	// NotNow answers NotNow and forgets the command.
	NotNow = Reaction{kind: notNow}
	// FormatError answers CommandFormatError.
	FormatError = Reaction{kind: formatError}
	// DropConnectionAfterExecute carries the command out and loses the
	// connection before the result is sent. It is sent at the next Connect.
	DropConnectionAfterExecute = Reaction{kind: dropResult}
	// LoseAnswer sends the result and loses the connection before the answer
	// arrives, so that the next Connect sends the same result again.
	LoseAnswer = Reaction{kind: dropAnswer}
	// Crash loses the connection and the command: it is neither carried out
	// nor ever answered unless the server sends it again.
	Crash = Reaction{kind: crash}
)

// Error answers Error with the given chain.
func Error(chain ...ErrorItem) Reaction { return Reaction{kind: fail, chain: chain} }

// reactor is a reaction function and how often it was asked.
type reactor struct {
	react func(n int) Reaction
	n     int
}

// OnCommand sets how the phone reacts to commands of a RequestType; n counts
// from 1 how often the type was received since then. nil removes it. The
// function may use the phone's getters, but nothing that talks to the server.
func (p *Phone) OnCommand(requestType string, react func(n int) Reaction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if react == nil {
		delete(p.reactions, requestType)
		return
	}
	p.reactions[requestType] = &reactor{react: react}
}

// reaction decides about one command and puts it on record.
func (p *Phone) reaction(requestType string) Reaction {
	p.mu.Lock()
	p.seen = append(p.seen, requestType)
	p.notify()
	r := p.reactions[requestType]
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
