module github.com/gatehouse-auth/gatehouse

go 1.26.0
