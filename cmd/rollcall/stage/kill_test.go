package stage

const childVariable = "ROLLCALL_STAGE_CHILD"

func child() {}
