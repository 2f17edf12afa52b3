/**
 * Exports libc/, which alone uses bun:ffi: thin, typed calls into libc for what the runtime does not offer. libc-intercept.ts and
 * libc-kept.ts export what only those rooms need, since binding a function costs time at the start.
 */
export { attachReuseportSelector, type BpfInstruction } from "./libc/bpf.ts";
export * from "./libc/datagrams.ts";
export * from "./libc/descriptors.ts";
export * from "./libc/directories.ts";
export { SystemError } from "./libc/library.ts";
export * from "./libc/processes.ts";
export * from "./libc/rights.ts";
export * from "./libc/sockets.ts";
