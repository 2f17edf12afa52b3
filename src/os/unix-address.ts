/** struct sockaddr_un of unix(7), written in this one place. */
import { AF } from "./libc/numbers.ts";

/** Of a path, which gets its closing NUL, or of an abstract name, which begins with NUL and has none at its end. */
export function unixAddress(name: string): Uint8Array {
  const path = Buffer.from(name.startsWith("\0") ? name : `${name}\0`);
  const bytes = new Uint8Array(2 + path.length);
  bytes[0] = AF.unix;
  bytes.set(path, 2);
  return bytes;
}
