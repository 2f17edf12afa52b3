/**
 * Whether a text is a numeric address. The URL parser of the runtime judges IPv6 (WHATWG URL, host parser); node:net
 * would do the same for 3 MB of memory that a wrapper keeps for months.
 */
export const isIPv4 = (text: string): boolean =>
  /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split(".").every((part) => Number(part) <= 255);

export const isIPv6 = (text: string): boolean => text.includes(":") && URL.canParse(`http://[${text}]/`);
