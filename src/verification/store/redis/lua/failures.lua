-- Wrong codes in a row, and what else SQL must hear: "f", the failures of a bucket; "u", a code that was used.
local MONTH = 30 * DAY
-- Beyond every time: a subject's failures are never forgotten.
local NEVER_FORGET = 2 ^ 53

local changes = {}
-- The number of the change, larger than that of every one before.
local function keep_in_sql(kind, key, count, forget_at)
    sequence = math.max(tonumber(sequence) + 1, now * 1000)
    changes[#changes + 1] = { kind, key, count, now, forget_at, sequence }
    return sequence
end

-- What SQL is to hear. The next script goes on after the last number.
local function for_sql()
    if #changes > 0 then
        redis.call('HSET', ledger, 'sequence', sequence)
    end
    return changes
end

local function count_failure(key, of_subject)
    local name = bucket_name('f', key)
    local count = (read_bucket(name)[1] or 0) + 1
    local forget_at = of_subject and NEVER_FORGET or now + MONTH
    local value = cmsgpack.pack({ count, now, keep_in_sql('f', key, count, forget_at) })
    if of_subject then
        redis.call('SET', name, value)
    else
        redis.call('SET', name, value, 'PX', MONTH)
    end
end

-- Whether there was anything to clear.
local function clear_failures(key)
    if redis.call('DEL', bucket_name('f', key)) == 0 then
        return false
    end
    keep_in_sql('f', key, 0, now + MONTH)
    return true
end
