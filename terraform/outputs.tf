output "address" {
  description = "Where users go."
  value       = yandex_vpc_address.balancer.external_ipv4_address[0].address
}

output "inventory" {
  description = "The Ansible inventory. Every machine is reached through the balancer, at its private address."
  value = yamlencode({
    all = {
      children = {
        for role in ["balancer", "bingo", "postgresql", "monitoring"] : role => {
          hosts = {
            for name, machine in local.machines : name => {
              ansible_host = yandex_compute_instance.machine[name].network_interface[0].ip_address
            } if machine.role == role
          }
        }
      }
      vars = {
        ansible_user               = "debian"
        ansible_become             = true
        ansible_python_interpreter = "/usr/bin/python3"
        ansible_ssh_common_args    = "-o ProxyJump=debian@${yandex_vpc_address.balancer.external_ipv4_address[0].address} -o StrictHostKeyChecking=accept-new"
        stand_addresses            = [yandex_vpc_address.balancer.external_ipv4_address[0].address]
      }
    }
  })
}
