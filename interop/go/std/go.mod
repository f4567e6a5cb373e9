module sendoff-interop-std

go 1.24.0
