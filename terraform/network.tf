resource "yandex_vpc_network" "stand" {
  name = var.name
}

# The way out for packages, for machines without an address of their own.
resource "yandex_vpc_gateway" "out" {
  name = "${var.name}-out"
  shared_egress_gateway {}
}

resource "yandex_vpc_route_table" "out" {
  name       = "${var.name}-out"
  network_id = yandex_vpc_network.stand.id

  static_route {
    destination_prefix = "0.0.0.0/0"
    gateway_id         = yandex_vpc_gateway.out.id
  }
}

resource "yandex_vpc_subnet" "stand" {
  name           = var.name
  zone           = var.zone
  network_id     = yandex_vpc_network.stand.id
  v4_cidr_blocks = [var.network]
  route_table_id = yandex_vpc_route_table.out.id
}

# Stays when the balancer is made anew, so that a domain can point at it.
resource "yandex_vpc_address" "balancer" {
  name = "${var.name}-balancer"

  external_ipv4_address {
    zone_id = var.zone
  }
}

# Between the machines: everything. From elsewhere: nothing.
resource "yandex_vpc_security_group" "inside" {
  name       = "${var.name}-inside"
  network_id = yandex_vpc_network.stand.id

  ingress {
    description       = "the stand among itself"
    protocol          = "ANY"
    predefined_target = "self_security_group"
  }

  egress {
    description    = "packages, time, names"
    protocol       = "ANY"
    v4_cidr_blocks = ["0.0.0.0/0"]
  }
}

# What the balancer has beside that.
resource "yandex_vpc_security_group" "balancer" {
  name       = "${var.name}-balancer"
  network_id = yandex_vpc_network.stand.id

  ingress {
    description    = "operators, for the other machines as well"
    protocol       = "TCP"
    port           = 22
    v4_cidr_blocks = var.operators
  }

  ingress {
    description    = "http"
    protocol       = "TCP"
    port           = 80
    v4_cidr_blocks = ["0.0.0.0/0"]
  }

  ingress {
    description    = "https"
    protocol       = "TCP"
    port           = 443
    v4_cidr_blocks = ["0.0.0.0/0"]
  }

  ingress {
    description    = "HTTP/3"
    protocol       = "UDP"
    port           = 443
    v4_cidr_blocks = ["0.0.0.0/0"]
  }
}
