/**
 * The exec helper: between the keeper and the command, in the process that becomes the command. It installs the filter, sends the
 * descriptor of its notifications to the keeper, and replaces itself. What it is to run comes in a file without a name
 * and not in its own environment, which the runtime would read as its own (BUN_OPTIONS).
 *
 * It answers once, with the descriptor; and once more only where the command cannot be run, or is none. Each start of a command waits for it,
 * and most of that is what it loads: node:fs alone would be a quarter of it.
 */
import {
  type BpfInstruction,
  close,
  closeOnExec,
  contentsOf,
  execute,
  exitNow,
  installFilter,
  keepOnExec,
  SystemError,
  sendWithDescriptors,
  tryTrappedCall,
} from "../os/libc-exec.ts";
import { encode } from "../sockets/sockaddr.ts";

export interface ExecOrder {
  /** Of the command; undefined: only what comes before it is tried. */
  path?: string | undefined;
  argv: readonly string[];
  /** NAME=value. */
  env: readonly string[];
  directory: string;
  filter: readonly BpfInstruction[];
}

export type ExecAnswer =
  | { step: "filter"; noNewPrivileges: boolean }
  /** There is no command: it was only to be tried. */
  | { step: "tried" }
  | { step: "failed"; call: string; errno: string };

/** After stdin, stdout and stderr. */
const FIRST_PASSED = 3;

/** What the other end has to find in our memory. */
export const TRIED: Uint8Array = encode({ family: "unix", path: "/hupwatch/tries/a/bind" });

/** Never returns: it is the command afterwards, or has said why not. */
export function becomeCommand(orderFd: number, answerFd: number): never {
  const say = (answer: ExecAnswer, fds: number[] = []) =>
    sendWithDescriptors(answerFd, Buffer.from(JSON.stringify(answer)), fds);
  try {
    // What the keeper gave is for this program; the command keeps what is below.
    closeOnExec(answerFd);
    // The runtime has marked all from 4 on, at its start.
    for (let fd = FIRST_PASSED; fd < orderFd; fd++) keepOnExec(fd);
    const order = JSON.parse(Buffer.from(contentsOf(orderFd)).toString()) as ExecOrder;
    close(orderFd);
    process.chdir(order.directory);
    const { fd, noNewPrivileges } = installFilter(order.filter);
    say({ step: "filter", noNewPrivileges }, [fd]);
    close(fd);
    // A container may let the filter be installed and refuse its answers: found here, and not at the server's bind.
    tryTrappedCall(TRIED);
    if (order.path === undefined) {
      say({ step: "tried" });
      exitNow(0);
    }
    execute(order.path, order.argv, order.env);
  } catch (error) {
    say({
      step: "failed",
      ...(error instanceof SystemError ? { call: error.syscall, errno: error.errno } : told(error)),
    });
  }
  exitNow(125);
}

function told(error: unknown): { call: string; errno: string } {
  const { syscall = "exec helper", code = String(error) } = error as NodeJS.ErrnoException;
  return { call: syscall, errno: code };
}
