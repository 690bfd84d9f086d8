local id, service, origin, detail = cmsgpack.unpack(ARGV[2])
local row = find(service, id)
if not row then
    return { 'NOTFOUND' }
elseif status_of(row) ~= 'pending' then
    return { 'ENDED', shown(row) }
end
row.status, row.ended = 'canceled', now
leave_pending(row)
transition(row, 'verification.canceled', origin, detail)
return { 'CANCELED', shown(row) }
