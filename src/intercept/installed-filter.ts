/** The other end of an exec helper: its filter's descriptor, and whether a call that the filter traps can be answered here. */
import { close, dup, SystemError } from "../os/libc.ts";
import {
  answerNotification,
  canPlaceDescriptors,
  NOTIFICATION_BYTES,
  receiveNotification,
  receiveWithDescriptors,
  waitFor,
} from "../os/libc-intercept.ts";
import { type ExecAnswer, TRIED } from "./become-command.ts";
import { Caller, Notification } from "./notification.ts";
import { PACKET_BYTES_MAX } from "./protocol.ts";

/** Far longer than the exec helper needs, on a machine that is overloaded, too: one that is stopped must not stop the keeper. */
const HELPER_MS = 30_000;

/** The descriptor of its filter, once it has become the command, or has tried all that it needs for that. Throws SystemError. */
export function awaitFilter(socket: number): { notify: number; noNewPrivileges: boolean } {
  const deadline = performance.now() + HELPER_MS;
  const filter = hear(socket, deadline);
  if (!filter) throw new SystemError("exec helper", "ECHILD");
  if (filter.answer.step === "failed") throw new SystemError(filter.answer.call, filter.answer.errno);
  if (filter.answer.step !== "filter") throw new SystemError("exec helper", "EPROTO");
  const notify = dupAway(filter.fds[0] as number);
  try {
    if (!canPlaceDescriptors(notify)) throw new SystemError("seccomp", "EOPNOTSUPP");
    answerOnce(notify, deadline);
    // Its end of the socket is closed by its execve(2).
    const failure = hear(socket, deadline);
    if (!failure || failure.answer.step === "tried")
      return { notify, noNewPrivileges: filter.answer.noNewPrivileges };
    throw failure.answer.step === "failed"
      ? new SystemError(failure.answer.call, failure.answer.errno)
      : new SystemError("exec helper", "EPROTO");
  } catch (error) {
    close(notify);
    throw error;
  }
}

/** The call that it makes to see that its calls are answered: what they are about can be read, or none of them could be. */
function answerOnce(notify: number, deadline: number): void {
  const [seen] = waitFor([notify], left(deadline));
  if (!seen?.readable) throw new SystemError("seccomp", "ETIMEDOUT");
  const received = new Uint8Array(new ArrayBuffer(NOTIFICATION_BYTES));
  if (!receiveNotification(notify, received)) throw new SystemError("seccomp", "ECHILD");
  const notification = new Notification(new DataView(received.buffer));
  try {
    const bytes = new Caller(notification.tid).memory(notification.address(1), TRIED.length);
    if (!Buffer.from(TRIED).equals(bytes)) throw new SystemError("read(/proc/PID/mem)", "EIO");
  } catch (error) {
    if (error instanceof SystemError) throw error;
    throw new SystemError("read(/proc/PID/mem)", (error as NodeJS.ErrnoException).code ?? String(error));
  } finally {
    answerNotification(notify, notification.id, "continue");
  }
}

/** Low numbers stay free for what is passed on. */
function dupAway(fd: number): number {
  const away = dup(fd);
  close(fd);
  return away;
}

interface Heard {
  answer: ExecAnswer;
  fds: number[];
}

/** For poll(2), which takes whole milliseconds. */
const left = (deadline: number): number => Math.max(0, Math.ceil(deadline - performance.now()));

/** Undefined where it has closed its end. */
function hear(socket: number, deadline: number): Heard | undefined {
  if (waitFor([socket], left(deadline)).length === 0) throw new SystemError("exec helper", "ETIMEDOUT");
  const { bytes, fds, isWhole } = receiveWithDescriptors(socket, PACKET_BYTES_MAX);
  if (!isWhole) throw new SystemError("recvmsg", "EMFILE");
  return bytes.length === 0 ? undefined : { answer: JSON.parse(Buffer.from(bytes).toString()), fds };
}
