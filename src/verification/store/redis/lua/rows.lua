-- A verification is a hash: `state` is what transitions change, `fixed` what they do not, `secret` its seed and the tag of its
-- newest code, each of them packed; and each of its events, by its number. Scripts that read one have it by words. What of
-- `fixed` has no word here is the readers' only (rows.rs).
local row_name = base .. ':v:'

local function row_of(id, state, fixed, secret)
    if not state then
        return nil
    end
    local status, revision, generation, sends, attempts, channel, pepper, queued, expires, ended, delivery, provider, reference, held,
        replica = cmsgpack.unpack(state)
    local service, purpose, subject, code_by, max_attempts, created, failures, window, everywhere, pending, index, holder =
        cmsgpack.unpack(fixed)
    -- All at once: a table that grows is slow.
    return {
        id = id, state = state, fixed = fixed, secret = secret, status = status, revision = revision, generation = generation,
        sends = sends, attempts = attempts, channel = channel, pepper = pepper, queued = queued, expires = expires, ended = ended,
        delivery = delivery, provider = provider, reference = reference, held = held, replica = replica, service = service,
        purpose = purpose, subject = subject, code_by = code_by, max_attempts = max_attempts, created = created, failures = failures,
        window = window, everywhere = everywhere, pending = pending, index = index, holder = holder,
    }
end

local function read_row(id)
    local found = redis.call('HMGET', row_name .. id, 'state', 'fixed', 'secret')
    return row_of(id, found[1], found[2], found[3])
end

local function find(service, id)
    local row = read_row(id)
    if row and row.service == service then
        return row
    end
end

-- Writes where a row stands, and further fields of its hash.
local function save(row, ...)
    row.state = cmsgpack.pack(row.status, row.revision, row.generation, row.sends, row.attempts, row.channel, row.pepper, row.queued,
        row.expires, row.ended, row.delivery, row.provider, row.reference, row.held, row.replica)
    redis.call('HSET', row_name .. row.id, 'state', row.state, ...)
end

local function shown(row)
    return { row.id, row.state, row.fixed, row.secret }
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

-- `origin` is a list of a client and an address.
local function event(kind, origin, detail)
    return cmsgpack.pack(now, kind, origin[1], origin[2], detail)
end

-- One more transition of a row, and what is written of it.
local function transition(row, kind, origin, detail)
    row.revision = row.revision + 1
    save(row, row.revision, event(kind, origin, detail))
end
