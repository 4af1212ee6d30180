// Says a number of seconds.

/** "12 s" or "1 min 5 s". */
export function duration(seconds) {
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
