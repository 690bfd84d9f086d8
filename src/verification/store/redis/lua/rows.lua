-- A verification is a hash. Its fields have short names there, so that most rows stay in Redis's compact form; here they
-- have words. The first 26 are what a reader of the row gets, in this order (rows.rs).
local WORDS = {
    'service', 'purpose', 'destination', 'country', 'channel', 'subject', 'locale', 'status', 'revision', 'generation', 'sends',
    'attempts', 'max_attempts', 'seed', 'pepper', 'tag', 'code_by', 'failures', 'created', 'queued', 'expires', 'ended', 'delivery',
    'provider', 'reference', 'metadata', 'window', 'pending', 'index', 'holder', 'everywhere', 'held',
    'replica',
}
local FIELDS = {
    's', 'p', 'to', 'co', 'ch', 'su', 'l', 'st', 'r', 'g', 'n', 'a', 'm', 'se', 'pe', 't', 'by', 'f', 'cr', 'q', 'x', 'e', 'd', 'dp',
    'dr', 'md', 'w', 'pk', 'ik', 'hk', 'wa', 'rk', 'rp',
}
local NUMBERS = {
    revision = true, generation = true, sends = true, attempts = true, max_attempts = true, created = true, queued = true,
    expires = true, ended = true,
}
local SHOWN = 26
local PROVIDER_LIFE, HOUR = DAY, 3600 * 1000

local function row_name(id)
    return base .. ':v:' .. id
end

local function read_row(id)
    local values = redis.call('HMGET', row_name(id), unpack(FIELDS))
    if not values[1] then
        return nil
    end
    local row = { id = id, values = values, changed = {} }
    for i, word in ipairs(WORDS) do
        if values[i] then
            row[word] = NUMBERS[word] and tonumber(values[i]) or values[i]
        end
    end
    return row
end

local PLACES = {}
for i, word in ipairs(WORDS) do
    PLACES[word] = i
end

-- Changes a field of a row; false takes it away. Written by `save`.
local function set(row, word, value)
    row[word] = value or nil
    local text = value and NUMBERS[word] and whole(value) or value
    row.values[PLACES[word]] = text
    row.changed[#row.changed + 1] = { FIELDS[PLACES[word]], text }
end

local function save(row)
    local written, gone = {}, {}
    for _, change in ipairs(row.changed) do
        if change[2] then
            written[#written + 1] = change[1]
            written[#written + 1] = change[2]
        else
            gone[#gone + 1] = change[1]
        end
    end
    if #written > 0 then
        redis.call('HSET', row_name(row.id), unpack(written))
    end
    if #gone > 0 then
        redis.call('HDEL', row_name(row.id), unpack(gone))
    end
    row.changed = {}
end

local function shown(row)
    local values = { row.id }
    for i = 1, SHOWN do
        values[i + 1] = row.values[i] or false
    end
    return values
end

local function status_of(row)
    if row.status ~= 'pending' then
        return row.status
    elseif now >= row.expires then
        return 'expired'
    elseif row.attempts >= row.max_attempts then
        return 'exhausted'
    end
    return 'pending'
end

-- "REVISION|TIME|KIND|CLIENT|ADDRESS" and, if there is more to say, "|DETAIL". `origin` is "CLIENT|ADDRESS".
local function append(row, kind, origin, detail)
    local text = row.revision .. '|' .. whole(now) .. '|' .. kind .. '|' .. origin
    redis.call('RPUSH', base .. ':e:' .. row.id, detail and text .. '|' .. detail or text)
end

-- One more transition of a row, and what is written of it.
local function transition(row, kind, origin, detail)
    set(row, 'revision', row.revision + 1)
    save(row)
    append(row, kind, origin, detail)
end

local function enter_pending(row)
    local name = base .. ':p:' .. row.pending
    redis.call('ZREMRANGEBYSCORE', name, '-inf', whole(now))
    redis.call('ZADD', name, whole(row.expires), row.id)
    redis.call('PEXPIRE', name, whole(math.max(row.expires - now, HOUR)))
end

local function newest_pending(key)
    local ids = redis.call('ZRANGEBYSCORE', base .. ':p:' .. key, '(' .. whole(now), '+inf')
    -- Ids lie in the order of time.
    table.sort(ids, function(one, other) return one > other end)
    for _, id in ipairs(ids) do
        local row = read_row(id)
        if row and status_of(row) == 'pending' then
            return row
        end
    end
end

-- What waits to be sent, by the replica that has it in its memory.
local queue = base .. ':q'
local function enqueue(row, replica)
    if row.replica and row.replica ~= replica then
        redis.call('ZREM', queue, row.replica .. row.id)
    end
    set(row, 'replica', replica)
    redis.call('ZADD', queue, 0, replica .. row.id)
    redis.call('PEXPIRE', queue, whole(2 * HOUR))
end
local function dequeue(row)
    if row.replica then
        redis.call('ZREM', queue, row.replica .. row.id)
    end
end

-- Whose code a provider's reference stands for: "ID|KEY|EXPIRES|UNTIL" (store/pending.rs has the rule in words).
local function holder_name(key)
    return base .. ':r:' .. key
end
local function read_holder(key)
    local text = redis.call('GET', holder_name(key))
    if not text then
        return nil
    end
    local id, holder, expires, til = string.match(text, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
    return { id = id, key = holder, expires = tonumber(expires), til = tonumber(til) }
end
local function write_holder(key, holder)
    local life = holder.til - now
    if life <= 0 then
        redis.call('DEL', holder_name(key))
        return
    end
    local text = holder.id .. '|' .. holder.key .. '|' .. whole(holder.expires) .. '|' .. whole(holder.til)
    redis.call('SET', holder_name(key), text, 'PX', whole(life))
end
local function holder_of(row)
    return { id = row.id, key = row.holder or '', expires = row.expires, til = row.created + PROVIDER_LIFE }
end
local function refers(key, row)
    local holder = read_holder(key)
    local at = row.queued
    if holder and holder.id ~= row.id and holder.til > at and (holder.expires > at or holder.key ~= row.holder) then
        return false
    end
    write_holder(key, holder_of(row))
    return true
end

-- It ended: nobody finds it by its destination, nobody sends it.
local function leave_pending(row)
    redis.call('ZREM', base .. ':p:' .. row.pending, row.id)
    dequeue(row)
    if row.held then
        local holder = read_holder(row.held)
        if holder and holder.id == row.id then
            holder.expires = holder.til
            write_holder(row.held, holder)
        end
    end
end

local function forget_delivery(row)
    if row.code_by ~= 'provider' then
        set(row, 'provider', false)
        set(row, 'reference', false)
        set(row, 'held', false)
    end
end

local RANK = { queued = 0, sent = 1, failed = 2, delivered = 3 }
local function may_become(row, delivery)
    return RANK[row.delivery] < RANK[delivery]
end

local function find(service, id)
    local row = read_row(id)
    if row and row.service == service then
        return row
    end
end
