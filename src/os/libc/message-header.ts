/** struct msghdr as sendmsg(2) and recvmsg(2) take it: one piece of bytes, and room for control messages beside it (cmsg(3)). */
import { ptr } from "bun:ffi";

const HEADER_BYTES = 56;
const VECTOR_AT = 16;
const VECTORS_AT = 24;
const CONTROL_AT = 32;
const CONTROL_LENGTH_AT = 40;
const FLAGS_AT = 48;

export interface MessageHeader {
  header: Uint8Array;
  control: DataView;
  /** Everything the header points to. */
  kept: Uint8Array[];
}

/** With buffers of their own from the start: the runtime moves a small array when `.buffer` is asked of it. */
export function messageHeader(bytes: Uint8Array, controlBytes: number): MessageHeader {
  const control = new Uint8Array(new ArrayBuffer(controlBytes));
  const vector = new DataView(new ArrayBuffer(16)); // struct iovec
  vector.setBigUint64(0, BigInt(ptr(bytes)), true);
  vector.setBigUint64(8, BigInt(bytes.length), true);
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  header.setBigUint64(VECTOR_AT, BigInt(ptr(vector)), true);
  header.setBigUint64(VECTORS_AT, 1n, true);
  if (controlBytes > 0) {
    header.setBigUint64(CONTROL_AT, BigInt(ptr(control)), true);
    header.setBigUint64(CONTROL_LENGTH_AT, BigInt(controlBytes), true);
  }
  return {
    header: new Uint8Array(header.buffer),
    control: new DataView(control.buffer),
    kept: [bytes, new Uint8Array(vector.buffer), control],
  };
}

const viewOf = ({ header }: MessageHeader) => new DataView(header.buffer);

/** What the kernel says of a message that it has given: MSG_TRUNC, MSG_CTRUNC. */
export const flagsOf = (message: MessageHeader): number => viewOf(message).getInt32(FLAGS_AT, true);

/** So many bytes of control messages came with it. */
export const controlLengthOf = (message: MessageHeader): number =>
  Number(viewOf(message).getBigUint64(CONTROL_LENGTH_AT, true));
