/**
 * The names of processes that help hupwatch and serve no client, as proc(5) has them (comm, cut after 15 bytes). One of these may have a
 * listener open, and never accepts from it.
 */
export const TEE = "tee";
export const KEEPER = "hupwatch-keeper";
export const RELAY = "hupwatch-relay";
