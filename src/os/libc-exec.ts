/** The door to the calls of libc/ that the exec helper makes: each start of a command waits for what it loads, so that is all. */
export type { BpfInstruction } from "./libc/bpf.ts";
export { close } from "./libc/descriptors.ts";
export { SystemError } from "./libc/library.ts";
export { contentsOf } from "./libc/memory.ts";
export { sendWithDescriptors } from "./libc/messages.ts";
export { closeOnExec, execute, exitNow, keepOnExec } from "./libc/programs.ts";
export { installFilter, tryTrappedCall } from "./libc/seccomp.ts";
