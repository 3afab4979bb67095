data "yandex_compute_image" "debian" {
  family = var.image_family
}

locals {
  # Addresses as in the lab: a name has one for every size of the stand, so growing it moves nothing.
  machines = merge(
    {
      "lb-1"  = { role = "balancer", host = 10 }
      "db-1"  = { role = "postgresql", host = 5 }
      "mon-1" = { role = "monitoring", host = 6 }
    },
    { for n in range(1, var.nodes + 1) : "bingo-${n}" => { role = "bingo", host = 10 + n } },
  )
}

resource "yandex_compute_instance" "machine" {
  for_each = local.machines

  name                      = "${var.name}-${each.key}"
  hostname                  = "${var.name}-${each.key}"
  zone                      = var.zone
  platform_id               = var.platform
  allow_stopping_for_update = true
  labels                    = { stand = var.name, role = each.value.role }

  resources {
    cores         = var.sizes[each.value.role].cores
    core_fraction = var.sizes[each.value.role].share
    memory        = var.sizes[each.value.role].memory
  }

  boot_disk {
    initialize_params {
      image_id = data.yandex_compute_image.debian.id
      size     = var.sizes[each.value.role].disk
      type     = var.sizes[each.value.role].disktype
    }
  }

  network_interface {
    subnet_id      = yandex_vpc_subnet.stand.id
    ip_address     = cidrhost(var.network, each.value.host)
    nat            = each.value.role == "balancer"
    nat_ip_address = each.value.role == "balancer" ? yandex_vpc_address.balancer.external_ipv4_address[0].address : null
    security_group_ids = concat(
      [yandex_vpc_security_group.inside.id],
      each.value.role == "balancer" ? [yandex_vpc_security_group.balancer.id] : [],
    )
  }

  scheduling_policy {
    preemptible = var.preemptible && each.value.role != "postgresql"
  }

  metadata = {
    user-data = templatefile("${path.module}/cloud-init.yml.tftpl", {
      name = each.key
      key  = trimspace(file(pathexpand(var.ssh_public_key)))
    })
  }

  lifecycle {
    # A newer image is no reason to throw a machine away.
    ignore_changes = [boot_disk[0].initialize_params[0].image_id]
  }
}
