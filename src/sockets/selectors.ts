/** Whether this kernel lets an unprivileged process steer a SO_REUSEPORT group; asked once. */
import { attachReuseportSelector, close, setFlag, socket } from "../os/libc.ts";

let answer: boolean | undefined;

export function hasSelectors(): boolean {
  answer ??= probe();
  return answer;
}

function probe(): boolean {
  const fd = socket("inet", false);
  try {
    setFlag(fd, "reuseport");
    attachReuseportSelector(fd, [[0x06, 0, 0, 0]]);
    return true;
  } catch {
    return false;
  } finally {
    close(fd);
  }
}
