-- What every script begins with. KEYS[1] is the base of all names, and its braces put them all into one slot of a cluster.
-- Times are the caller's, in milliseconds; Redis's own clock is never asked. Numbers are doubles: exact up to 2^53, which
-- microseconds since 1970 stay below.
local base, place = KEYS[1], 1
local function argument()
    place = place + 1
    return ARGV[place]
end
local function number()
    return tonumber(argument())
end
local now = tonumber(ARGV[1])
local DAY = 24 * 3600 * 1000

-- "%.14g", which Lua prints numbers by, has too few digits for microseconds.
local function whole(value)
    return string.format('%.0f', value)
end

local function numbers(text)
    local list = {}
    for part in string.gmatch(text, '[^,]+') do
        list[#list + 1] = tonumber(part)
    end
    return list
end

-- Failures and used codes lie in SQL too. A Redis that was emptied, or is another one than before, has not got them: then nothing is judged
-- by what it lacks, and the store brings them first.
local ledger = base .. ':failures'
local sequence = redis.call('HGET', ledger, 'sequence')
if not sequence then
    return { 'COLD' }
end
local changes = {}
-- "f": the failures of a bucket. "u": a code that was used.
local function keep_in_sql(kind, key, count, forget_at)
    sequence = math.max(tonumber(sequence) + 1, now * 1000)
    changes[#changes + 1] = { kind, key, count, whole(now), whole(forget_at), whole(sequence) }
    redis.call('HSET', ledger, 'sequence', whole(sequence))
    return whole(sequence)
end
