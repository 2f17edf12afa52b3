/** Numbers of Linux that more than one subject needs: x86-64, arm64 and riscv64 (asm-generic). */
export const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;
export const SOCK = {
  stream: 1,
  datagram: 2,
  raw: 3,
  packets: 5,
  nonblocking: 0o4000,
  cloexec: 0o2000000,
} as const;
export const SOL_SOCKET = 1;
export const IPPROTO_TCP = 6;
export const MSG_NOSIGNAL = 0x4000;
export const PR_SET_NO_NEW_PRIVS = 38;
