/** Connections that outlive the generation that accepted them: what the generation reports of itself, and what happens to them. */
import type { Accepting } from "./connections.ts";
import type { Leader } from "./procfs.ts";

export interface KeepingOwner {
  generation: number;
  processes: {
    /** Its first process. */
    readonly leader: Leader | undefined;
    /** They are as they are now. */
    pids(): readonly number[];
    /** SIGKILL was sent to them: nothing of what they had is kept. */
    readonly isKilled: boolean;
  };
  /** Where it accepts, and the path by which the serving generation is reached; of TCP undefined. */
  ways: readonly { place: Accepting; path: string | undefined }[];
  /** At the first of these it has answered hupwatch in HTTP/1, without TLS. */
  isHttp: boolean;
}

export interface Kept {
  /** Passed on to the relay: they live on. */
  kept: number;
  /** Closed when the server closed them, in the middle of something or too late. */
  closed: number;
  /** Left to their server: their clients are on other machines, the kernel allowed no duplicate, the server closed them after an answer, or they were not seen to speak HTTP/1. */
  others: number;
}

/** The connections of one generation that is about to stop. Each step is made once, in this order. If it is disposed of before, they are left to their server as they were. */
export interface Keeping extends Disposable {
  /** Before its stop signal: `then` is called when it may be sent, and `goesOn` while there is work that can only end. */
  begin(then: () => void, goesOn?: () => void): void;
  /** Its first process has ended; a crash keeps nothing. */
  ended(isCrash: boolean): void;
  /** Its whole tree is gone. */
  finish(): Kept;
}

/** Why a connection was closed that no server has. */
export type LetGo = "silent" | "left" | "not-http" | "elsewhere" | "other-user" | "unreachable" | "too-many";

/** What the relay has, and has had. */
export interface RelayCounts {
  /** Their clients are silent: no server is asked for them. */
  waiting: number;
  /** Joined to a server at present. */
  relayed: number;
  /** Ever joined. */
  joined: number;
  /** How often one of them got another server at a swap. */
  moved: number;
  letGo: Partial<Record<LetGo, number>>;
}

export const NO_COUNTS: RelayCounts = { waiting: 0, relayed: 0, joined: 0, moved: 0, letGo: {} };
