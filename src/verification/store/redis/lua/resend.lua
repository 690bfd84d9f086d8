local claim, id, service, revision, replica, channel, generation, tag, pepper, expires, origin, sends, takes = cmsgpack.unpack(ARGV[2])
local answered = claimed(claim)
if answered then
    return answered
end
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
queue_again(row, channel, replica)
row.generation, row.pepper, row.expires = generation, pepper, expires
local seed = cmsgpack.unpack(row.secret)
row.secret = cmsgpack.pack(seed, tag)
redis.call('HSET', row_name .. id, 'secret', row.secret)
transition(row, 'verification.resent', origin, channel)
enter_pending(row)
if row.code_by == 'provider' and row.held then
    write_holder(row, row.held, expires)
end
return sending_answer(claim, row, sends)
