-- What scripts begin with. KEYS[1] is the base of all names, and its braces put them all into one slot of a cluster. ARGV: the
-- time, then everything else, packed (packed.rs). Times are the caller's, in milliseconds; Redis's own clock is never asked.
-- Numbers are doubles: exact up to 2^53, which microseconds since 1970 stay below, and redis.call writes them exactly.
-- A script is put together from no more than it needs: each of its functions is made anew with each call.
local base, now = KEYS[1], tonumber(ARGV[1])
local DAY = 24 * 3600 * 1000
