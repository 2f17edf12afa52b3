/** The listeners at an address, by the kernel's tables. */
import { listeningOn } from "../os/netstat.ts";
import { unixListeners } from "../os/socket-table.ts";
import { hostBytes, isAnyPort, parse } from "./sockaddr.ts";
import { isPrivateName } from "./unix-path.ts";

export interface Listening {
  /** As /proc/PID/fd has it. */
  inode: number;
  /** The name that a generation has of its own beside a public path. */
  privatePath?: string;
}

/** `address` is as `format` writes it. None where the kernel does not say. */
export function listeningAt(address: string): Listening[] {
  const wanted = parse(address);
  if (isAnyPort(address)) return [];
  if ("port" in wanted)
    return (listeningOn(hostBytes(wanted), wanted.port) ?? []).map(({ inode }) => ({ inode }));
  const name = wanted.family === "abstract" ? `\0${wanted.name}` : wanted.path;
  return (unixListeners() ?? []).flatMap((listener): Listening[] => {
    if (listener.name === name) return [{ inode: listener.inode }];
    const isPrivate = wanted.family === "unix" && isPrivateName(listener.name, wanted.path);
    return isPrivate ? [{ inode: listener.inode, privatePath: listener.name }] : [];
  });
}
