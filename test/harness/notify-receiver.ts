/** systemd's side of sd_notify(3): a datagram socket, and every message that came, in order. */
import { bindDatagram, close, recv } from "../../src/os/libc.ts";
import { until } from "./until.ts";

export class NotifyReceiver implements Disposable {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(8192);
  readonly #messages: string[] = [];

  constructor(readonly path: string) {
    this.#fd = bindDatagram(path);
  }

  /** Each with its lines. */
  get messages(): readonly string[] {
    for (let n = recv(this.#fd, this.#buffer); n !== undefined; n = recv(this.#fd, this.#buffer))
      this.#messages.push(Buffer.from(this.#buffer.subarray(0, n)).toString());
    return this.#messages;
  }

  /** What `systemctl` would wait for, in the order it came: READY, RELOADING, STOPPING. */
  get milestones(): string[] {
    return this.messages.flatMap((message) => /^(READY|RELOADING|STOPPING)=1$/m.exec(message)?.[1] ?? []);
  }

  async until(look: () => unknown, what: string): Promise<void> {
    await until(look, { what, context: () => this.messages.join("---\n") });
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}
