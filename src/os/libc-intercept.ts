/** Exports the calls of libc/ that only intercept/ needs: a hupwatch that intercepts nothing does not load them. */
export * from "./libc/caller.ts";
export * from "./libc/memory.ts";
export * from "./libc/messages.ts";
export * from "./libc/programs.ts";
export * from "./libc/seccomp.ts";
export * from "./libc/waiting.ts";
