-- Whose code a provider's reference stands for: its id, what the code is good for, its end, and until when that is remembered
-- (store/pending.rs has the rule in words).
local function read_holder(key)
    local text = redis.call('GET', base .. ':r:' .. key)
    if text then
        return cmsgpack.unpack(text)
    end
end

local function write_holder(row, key, expires)
    local til = row.created + DAY
    if til > now then
        redis.call('SET', base .. ':r:' .. key, cmsgpack.pack(row.id, row.holder, expires or til, til), 'PX', til - now)
    else
        redis.call('DEL', base .. ':r:' .. key)
    end
end

local function refers(key, row)
    local id, good_for, expires, til = read_holder(key)
    if id and id ~= row.id and til > row.queued and (expires > row.queued or good_for ~= row.holder) then
        return false
    end
    write_holder(row, key, row.expires)
    return true
end

-- It ended: nobody finds it by its destination, nobody sends it, and its code serves no other one.
local function leave_pending(row)
    redis.call('ZREM', base .. ':p:' .. row.pending, row.id)
    dequeue(row)
    if row.held and read_holder(row.held) == row.id then
        write_holder(row, row.held)
    end
end
