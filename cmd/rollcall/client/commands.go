package client

// Commands are the subcommands of rollcall that speak to a server.
type Commands struct {
	Login    Login            `cmd:"" group:"Administration" help:"Remember a server and a token for the commands below."`
	Device   DeviceCommands   `cmd:"" group:"Administration" help:"The roll: pre-enrolled and enrolled devices."`
	Group    GroupCommands    `cmd:"" group:"Administration" help:"Groups of devices."`
	Policy   PolicyCommands   `cmd:"" group:"Administration" help:"Policies, and what they are bound to."`
	Request  RequestCommands  `cmd:"" group:"Administration" help:"Enrollment requests."`
	Gate     GateCommands     `cmd:"" group:"Administration" help:"Ask the gate what would happen."`
	Decision DecisionCommands `cmd:"" group:"Administration" help:"What the gate decided."`
	Approval ApprovalCommands `cmd:"" group:"Administration" help:"Devices that wait for approval."`
	Export   ExportCommands   `cmd:"" group:"Administration" help:"Whole lists as CSV, or with -o json as one object a line."`
	Settings SettingsCommands `cmd:"" group:"Administration" help:"Enrollment restrictions."`
	Token    TokenCommands    `cmd:"" group:"Administration" help:"API tokens."`
	Audit    AuditCommands    `cmd:"" group:"Administration" help:"The log of changes."`
	Webhook  WebhookCommands  `cmd:"" group:"Administration" help:"Where events are posted to."`
}
