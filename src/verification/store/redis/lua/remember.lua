-- Brings failures from SQL to a Redis that lacks them. Not after ledger.lua: it is what ends the cold.
-- Arguments: the server's own name, whether these are the last ones, and of each its kind, key, count, time, when to forget, and
-- the number of the change.
local run, is_last, entries = cmsgpack.unpack(ARGV[2])
local ledger = base .. ':failures'
-- Somebody else was quicker, and what they know may be newer.
if redis.call('HEXISTS', ledger, 'sequence') == 1 then
    return { 'WARM' }
end
local newest = tonumber(redis.call('HGET', ledger, 'brought') or '0')
local MONTH, NEVER_FORGET = 30 * DAY, 2 ^ 53

-- Its approval was the last that was heard of it, and is lost here: it does not pass twice.
local function remember_used(id, at)
    local row = read_row(id)
    if row and row.status == 'pending' then
        row.status, row.ended = 'approved', at
        save(row)
        redis.call('ZREM', base .. ':p:' .. row.pending, id)
    end
end

local function remember_failures(key, count, at, forget_at, sequence)
    local name = base .. ':f:' .. key
    local known = redis.call('GET', name)
    local since = known and cmsgpack.unpack(known)[3] or -1
    newest = math.max(newest, since)
    if sequence <= since then
        return
    end
    local value = cmsgpack.pack({ count, at, sequence })
    if count == 0 or forget_at <= now then
        redis.call('DEL', name)
    elseif forget_at >= NEVER_FORGET then
        redis.call('SET', name, value)
    else
        -- No failures that fade do so later; a store that was just opened may not know the time yet.
        redis.call('SET', name, value, 'PX', math.min(forget_at - now, MONTH))
    end
end

for _, entry in ipairs(entries) do
    local kind, key, count, at, forget_at, sequence = unpack(entry)
    if kind == 'u' then
        remember_used(key, at)
    else
        remember_failures(key, count, at, forget_at, sequence)
    end
    newest = math.max(newest, sequence)
end
if is_last then
    redis.call('HSET', ledger, 'sequence', newest, 'run', run)
    redis.call('HDEL', ledger, 'brought')
else
    redis.call('HSET', ledger, 'brought', newest)
end
return { 'OK' }
