/**
 * The names of processes that help hupwatch and serve nobody, as proc(5) has them (comm, cut after 15 bytes): what has a listener open and
 * bears one of these does not accept from it.
 */
export const TEE = "tee";
export const KEEPER = "hupwatch-keeper";
export const RELAY = "hupwatch-relay";
