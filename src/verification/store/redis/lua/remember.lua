-- Brings failures from SQL to a Redis that lacks them. Not after common.lua: it is what ends the cold.
-- ARGV: time, the server's own name, "1" with the last ones, then of each its kind, key, count, time, when to forget, and the
-- number of the change.
local base, now, run, is_last = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3] == '1'
local ledger = base .. ':failures'
-- Somebody else was quicker, and what they know may be newer.
if redis.call('HEXISTS', ledger, 'sequence') == 1 then
    return { 'WARM' }
end
local newest = tonumber(redis.call('HGET', ledger, 'brought') or '0')
-- No failures that fade do so later; a store that was just opened may not know the time yet.
local MONTH = 30 * 24 * 3600 * 1000
local function remember(kind, key, count, at, forget_at, sequence)
    if kind == 'u' then
        -- Its approval was the last that was heard of it, and is lost here: it does not pass twice.
        local name = base .. ':v:' .. key
        local row = redis.call('HMGET', name, 'st', 'pk')
        if row[1] == 'pending' then
            redis.call('HSET', name, 'st', 'approved', 'e', at)
            redis.call('ZREM', base .. ':p:' .. row[2], key)
        end
        return
    end
    local name = base .. ':f:' .. key
    local known = redis.call('GET', name)
    local since = known and tonumber(string.match(known, '(%d+)$')) or -1
    newest = math.max(newest, since)
    if tonumber(sequence) > since then
        if count == '0' or forget_at <= now then
            redis.call('DEL', name)
        elseif forget_at >= 2 ^ 53 then
            redis.call('SET', name, count .. ',' .. at .. ',' .. sequence)
        else
            redis.call('SET', name, count .. ',' .. at .. ',' .. sequence, 'PX', string.format('%.0f', math.min(forget_at - now, MONTH)))
        end
    end
end
for i = 4, #ARGV, 6 do
    remember(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5])
    newest = math.max(newest, tonumber(ARGV[i + 5]))
end
newest = string.format('%.0f', newest)
if is_last then
    redis.call('HSET', ledger, 'sequence', newest, 'run', run)
    redis.call('HDEL', ledger, 'brought')
else
    redis.call('HSET', ledger, 'brought', newest)
end
return { 'OK' }
