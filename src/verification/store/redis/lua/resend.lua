local answered = claimed(nil)
if answered then
    return answered
end
local id, service, revision, replica, origin, sends = argument(), argument(), number(), argument(), argument(), rule_of(argument())
local channel, generation, tag, pepper, expires = argument(), number(), argument(), argument(), number()
local takes = read_takes()
local row = find(service, id)
if not row then
    return { 'NOTFOUND' }
end
local status = status_of(row)
if status ~= 'pending' then
    return { 'ENDED', status }
elseif row.revision ~= revision then
    return { 'MOVED' }
end
local limited = take_all(takes)
if limited then
    return limited
end
set(row, 'channel', channel)
set(row, 'generation', generation)
set(row, 'tag', tag)
set(row, 'pepper', pepper)
set(row, 'expires', expires)
set(row, 'sends', row.sends + 1)
set(row, 'delivery', 'queued')
forget_delivery(row)
set(row, 'queued', now)
enqueue(row, replica)
transition(row, 'verification.resent', origin, channel)
enter_pending(row)
if row.code_by == 'provider' and row.held then
    write_holder(row.held, holder_of(row))
end
return sending_answer(row, sends)
