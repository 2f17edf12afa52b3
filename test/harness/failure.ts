/** How one request of the tests' client failed: where it stood, and what the kernel or the answer said. */

/**
 * `first-byte`: connected, and not one byte of an answer came. `status`, `version`, `echo`: a whole answer came and was
 * not the right one (not 2xx; no or an unexpected X-Version; the answer to another request, or to a mangled body).
 */
export type Phase = "connect" | "first-byte" | "header" | "body" | "status" | "version" | "echo";

export class Failure extends Error {
  constructor(
    readonly phase: Phase,
    /** `ENOENT`, `ECONNRESET` ...; `EOF` for an orderly close, `ETIMEDOUT` for our own deadline, else a short word. */
    readonly errno: string,
    /** The connection had answered before: the keep-alive race, which a client may repair by trying again. */
    readonly reused = false,
  ) {
    super(`${phase} ${errno}${reused ? " (reused)" : ""}`);
  }
}

/** Bun's socket errors carry the name in `code`. */
export const errnoOf = (error: unknown): string =>
  (error as { code?: string } | undefined)?.code ?? (error === undefined ? "EOF" : String(error));
