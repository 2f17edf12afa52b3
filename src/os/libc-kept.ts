/** Exports the calls of libc/ that only kept/ needs: a hupwatch that keeps no connection does not load them. */
export * from "./libc/epoll.ts";
export * from "./libc/kept.ts";
export * from "./libc/limits.ts";
export * from "./libc/messages.ts";
export * from "./libc/programs.ts";
export * from "./libc/waiting.ts";
