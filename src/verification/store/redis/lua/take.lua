return take_all(read_takes()) or { 'OK' }
