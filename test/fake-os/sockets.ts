/** A held socket without a kernel: it remembers what it was told. */
import type { Cutover, HeldSocket, Holder, Listener } from "../../src/sockets/held.ts";
import type { Probe } from "../../src/sockets/probe.ts";

export type FakeListener = Listener & { readonly generation: number };

export class FakeHeld implements HeldSocket {
  readonly spec;
  readonly address = { family: "inet", host: "127.0.0.1", port: 80 } as const;
  readonly open = new Set<number>();
  /** Generations in whose accept queue a client waits. */
  readonly queued = new Set<number>();
  /** Generations that cannot be steered to, and what is thrown then. */
  readonly unreachable = new Map<number, Error>();
  /** No descriptor of the test's own process is meant. */
  holder: Holder = { heldBy: "server" };
  /** The generation that new connections go to. */
  public: number | undefined;

  constructor(
    private readonly note: (what: string) => void,
    readonly cutover: Cutover = { mode: "steer" },
  ) {
    this.spec = { name: "web", text: ":80", address: { kind: "tcp", host: "", port: 80 } } as const;
  }

  listenFor(generation: number): FakeListener {
    this.open.add(generation);
    return {
      generation,
      ...this.holder,
      proof: true,
      hasQueued: () => this.queued.has(generation),
      connect: (): Probe => {
        throw new Error("a fake listener has no connections");
      },
      [Symbol.dispose]: () => void this.open.delete(generation),
    };
  }

  steerTo(listener: Listener): void {
    const { generation } = listener as FakeListener;
    const error = this.unreachable.get(generation);
    if (error) throw error;
    this.public = generation;
    this.note(`steer ${generation}`);
  }

  leave(): void {
    this.note("leave sockets");
  }

  [Symbol.dispose](): void {
    this.note("close sockets");
  }
}
